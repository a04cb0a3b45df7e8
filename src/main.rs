//! The binary: hands over to [`migrate::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    migrate::cli::main()
}
