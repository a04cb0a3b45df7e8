//! The source as the rules see it: without comments, without the insides of literals, without tests.

use std::path::{Path, PathBuf};

/// One file of `src`.
pub struct Source {
    /// From the root of the repository, such as `src/cli/drive.rs`.
    pub path: String,
    pub text: String,
    /// The text with comments, literals and tests blanked out; as many lines as `text`.
    pub code: String,
}

/// A function as it stands in the text.
pub struct Function {
    pub place: String,
    pub name: String,
    pub lines: usize,
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of `src` that is not a test, in order of its path.
pub fn tree() -> Vec<Source> {
    let mut paths = Vec::new();
    collect(&root().join("src"), &mut paths);
    paths.sort();
    let files: Vec<Source> = paths.iter().map(|path| read(path)).collect();
    let tests: Vec<String> = files.iter().flat_map(test_files).collect();
    files.into_iter().filter(|file| !tests.contains(&file.path)).collect()
}

fn collect(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

fn read(path: &Path) -> Source {
    let text = std::fs::read_to_string(path).unwrap();
    let path = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
    let code = without_tests(&blanked(&text));
    Source { path, text, code }
}

/// Files that a `#[cfg(test)] mod name;` of this file declares.
fn test_files(file: &Source) -> Vec<String> {
    let bare = blanked(&file.text);
    let folder = file.path.trim_end_matches(".rs");
    let declared = bare.match_indices("#[cfg(test)]").filter_map(|(at, mark)| {
        let item = bare[at + mark.len()..].trim_start().strip_prefix("mod ")?;
        let name = &item[..item.find(['{', ';'])?];
        item[name.len()..].starts_with(';').then(|| format!("{folder}/{}.rs", name.trim()))
    });
    declared.collect()
}

impl Source {
    /// Lines of code with their place.
    pub fn lines(&self) -> impl Iterator<Item = (String, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (format!("{}:{}", self.path, index + 1), line))
    }

    pub fn functions(&self) -> Vec<Function> {
        let starts = self.code.match_indices("fn ").filter(|(at, _)| {
            let before = self.code[..*at].chars().next_back();
            before.is_none_or(|c| c.is_whitespace() || c == '(')
        });
        let found = starts.filter_map(|(at, mark)| {
            let rest = &self.code[at..];
            let name = rest[mark.len()..].split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
            let body = rest.find('{')?;
            // A declaration without a body, or a function pointer's type.
            if name.is_empty() || rest.find(';').is_some_and(|end| end < body && !rest[..end].contains('[')) {
                return None;
            }
            let lines = rest[..body + closing(&rest[body..])].lines().count();
            let line = self.code[..at].lines().count().max(1);
            Some(Function { place: format!("{}:{line}", self.path), name: name.to_owned(), lines })
        });
        found.collect()
    }
}

/// Bytes up to and including the brace that closes the one at the start.
fn closing(text: &str) -> usize {
    let mut depth = 0_i32;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    text.len()
}

/// The code without the items marked `#[cfg(test)]`, line numbers kept.
fn without_tests(code: &str) -> String {
    let mut rest = code;
    let mut kept = String::new();
    while let Some(at) = rest.find("#[cfg(test)]") {
        kept.push_str(&rest[..at]);
        let item = &rest[at..];
        let brace = item.find('{').unwrap_or(item.len());
        let end = match item.find(';') {
            Some(semicolon) if semicolon < brace => semicolon + 1,
            _ => brace + closing(&item[brace..]),
        };
        kept.extend(item[..end].chars().filter(|c| *c == '\n'));
        rest = &item[end..];
    }
    kept + rest
}

/// The text with the insides of comments, strings and characters taken out, line breaks kept.
fn blanked(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::new();
    let mut at = 0;
    while at < chars.len() {
        let end = skipped(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().filter(|c| **c == '\n'));
            at = end;
        }
    }
    out
}

/// The end of the comment or literal that begins here; the same place where none does.
fn skipped(chars: &[char], at: usize) -> usize {
    let is = |offset: usize, c: char| chars.get(at + offset) == Some(&c);
    let until =
        |from: usize, done: &dyn Fn(usize) -> Option<usize>| (from..chars.len()).find_map(done).unwrap_or(chars.len());
    if is(0, '/') && is(1, '/') {
        return until(at, &|i| (chars[i] == '\n').then_some(i));
    }
    if is(0, '/') && is(1, '*') {
        return until(at + 2, &|i| (chars[i] == '*' && chars.get(i + 1) == Some(&'/')).then_some(i + 2));
    }
    let word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    if is(0, 'r') && !word && (is(1, '"') || is(1, '#')) {
        let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
        let open = at + 1 + hashes;
        // `r#type` is a name, not a string.
        if chars.get(open) != Some(&'"') {
            return at;
        }
        let closes =
            |i: usize| chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
        return until(open + 1, &|i| closes(i).then_some(i + 1 + hashes));
    }
    if is(0, '"') {
        let mut i = at + 1;
        while i < chars.len() && chars[i] != '"' {
            i += if chars[i] == '\\' { 2 } else { 1 };
        }
        return (i + 1).min(chars.len());
    }
    // A character; anything else behind a quote is a lifetime.
    if is(0, '\'') && is(1, '\\') {
        return until(at + 3, &|i| (chars[i] == '\'').then_some(i + 1));
    }
    if is(0, '\'') && is(2, '\'') {
        return at + 3;
    }
    at
}

#[test]
fn comments_literals_and_tests_are_not_code() {
    let text = "a(\"x { println!\"); // println!\nlet c = '{'; let l: &'static str = r#\"} \"q\" {\"#;\n#[cfg(test)]\nmod tests {\n    fn x() { y.unwrap() }\n}\nb();\n";
    let code = without_tests(&blanked(text));
    assert_eq!(code, "a(); \nlet c = ; let l: &'static str = ;\n\n\n\n\nb();\n");
}
