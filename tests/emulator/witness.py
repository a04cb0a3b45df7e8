"""The AWS CLI and estate.py, kept warm: one process that runs many command lines, so that the CLI's half second of start-up is paid once.

What runs is the AWS CLI itself (awscli.clidriver), argument by argument as in a shell. One request is a line of JSON on standard input,
{"program": "aws" | "estate", "arguments": [..], "environment": {..}}; one answer is a line of JSON: {"code": n, "out": "..", "err": ".."}.
"""

import contextlib
import io
import json
import os
import sys
import traceback

import estate
from awscli import clidriver


def run(program, arguments):
    if program == "aws":
        return clidriver.create_clidriver().main(arguments)
    sys.argv = ["estate.py", *arguments]
    estate.main()
    return 0


def main():
    answers = sys.stdout
    for line in sys.stdin:
        request = json.loads(line)
        os.environ.update(request["environment"])
        out, err, code = io.StringIO(), io.StringIO(), 1
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = run(request["program"], request["arguments"])
            except SystemExit as leaving:
                code = leaving.code if isinstance(leaving.code, int) else 1
                err.write("" if isinstance(leaving.code, int) else str(leaving.code))
            except Exception:
                traceback.print_exc(file=err)
        answers.write(json.dumps({"code": code or 0, "out": out.getvalue(), "err": err.getvalue()}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
