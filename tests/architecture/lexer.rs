//! Rust text as words and signs: without comments, and with nothing inside of strings.

/// A word (`fn`, `hub`, `42`, `'a`) or a sign (`::` is one, every other character by itself). A
/// string or a character is a `"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'t> {
    pub text: &'t str,
    pub line: usize,
}

/// The words and signs of a file.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < text.len() {
        let rest = &text[at..];
        let (len, kept) = piece(rest);
        if let Some(kept) = kept {
            found.push(Token { text: kept, line });
        }
        line += rest[..len].matches('\n').count();
        at += len;
    }
    found
}

/// How long the piece at the start of `rest` is, and what stands for it.
fn piece(rest: &str) -> (usize, Option<&str>) {
    let first = rest.chars().next().unwrap();
    let word = word_len(rest);
    if first.is_whitespace() {
        (first.len_utf8(), None)
    } else if rest.starts_with("//") {
        (rest.find('\n').unwrap_or(rest.len()), None)
    } else if rest.starts_with("/*") {
        (block_comment_len(rest), None)
    } else if first == '"' {
        (1 + quoted_len(&rest[1..], '"'), Some("\""))
    } else if first == '\'' {
        quote(rest)
    } else if let Some(len) = prefixed_string_len(rest, word) {
        (len, Some("\""))
    } else if word > 0 {
        (word, Some(&rest[..word]))
    } else if rest.starts_with("::") {
        (2, Some("::"))
    } else {
        (first.len_utf8(), Some(&rest[..first.len_utf8()]))
    }
}

fn word_len(rest: &str) -> usize {
    rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
}

/// Comments nest in Rust.
fn block_comment_len(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += here.chars().next().unwrap().len_utf8();
        }
    }
    rest.len()
}

/// Up to and with the closing `end`.
fn quoted_len(inside: &str, end: char) -> usize {
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == end => return at + 1,
            _ => {}
        }
    }
    inside.len()
}

/// A character if it is closed after one, else a lifetime.
fn quote(rest: &str) -> (usize, Option<&str>) {
    let mut inside = rest[1..].chars();
    let first = inside.next();
    if first == Some('\\') || inside.next() == Some('\'') {
        return (1 + quoted_len(&rest[1..], '\''), Some("\""));
    }
    let len = 1 + word_len(&rest[1..]);
    (len, Some(&rest[..len]))
}

/// `b'x'`, `b"x"`, `c"x"`, `r"x"`, `r#"x"#`, `br#"x"#`; none of them if it is only a word.
fn prefixed_string_len(rest: &str, word: usize) -> Option<usize> {
    let (prefix, tail) = rest.split_at(word);
    match prefix {
        "b" | "c" if tail.starts_with('"') => Some(word + 1 + quoted_len(&tail[1..], '"')),
        "b" if tail.starts_with('\'') => Some(word + 1 + quoted_len(&tail[1..], '\'')),
        "r" | "br" | "cr" => {
            let hashes = tail.len() - tail.trim_start_matches('#').len();
            let inside = tail[hashes..].strip_prefix('"')?;
            let end = format!("\"{}", "#".repeat(hashes));
            let len = inside.find(&end).map_or(inside.len(), |at| at + end.len());
            Some(word + hashes + 1 + len)
        }
        _ => None,
    }
}

/// Where the bracket that opens at `open` closes; the last token if it never does.
pub fn closing(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len() - 1
}

/// Where the item that starts at `start` has its `{`, if it has one before its `;`.
pub fn body(tokens: &[Token<'_>], start: usize) -> Option<usize> {
    let mut at = start;
    while at < tokens.len() {
        match tokens[at].text {
            "(" | "[" => at = closing(tokens, at),
            "{" => return Some(at),
            ";" => return None,
            _ => {}
        }
        at += 1;
    }
    None
}

/// Past the attributes, if any, that start at `at`.
pub fn past_attributes(tokens: &[Token<'_>], mut at: usize) -> usize {
    while tokens.get(at).is_some_and(|t| t.text == "#")
        && tokens.get(at + 1).is_some_and(|t| t.text == "[")
    {
        at = closing(tokens, at + 1) + 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        tokens(text).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_are_gone_and_strings_are_empty() {
        assert_eq!(words("a // b {\nc /* d /* e */ f */ g"), ["a", "c", "g"]);
        assert_eq!(
            words(r#"a("{ \" //", b"}", c"x")"#),
            ["a", "(", "\"", ",", "\"", ",", "\"", ")"]
        );
        assert_eq!(
            words("r\"\\\" r#\"a \" {\"# br##\"}\"# {\"## r#type"),
            ["\"", "\"", "\"", "r", "#", "type"]
        );
    }

    #[test]
    fn a_character_is_no_lifetime() {
        let text = r"'{' '\'' '\u{7d}' b'}' b'\\' &'a str 'outer: ' '";
        let expected = ["\"", "\"", "\"", "\"", "\"", "&", "'a", "str", "'outer", ":", "\""];
        assert_eq!(words(text), expected);
        assert_eq!(words("<'a,'b>('é')"), ["<", "'a", ",", "'b", ">", "(", "\"", ")"]);
    }

    #[test]
    fn lines_are_counted_through_strings_and_comments() {
        let found = tokens("a\n\"x\ny\"\n/* \n */ b // c\nr#\"\n\"# crate::d");
        let lines: Vec<_> = found.iter().map(|token| (token.text, token.line)).collect();
        let expected =
            [("a", 1), ("\"", 2), ("b", 5), ("\"", 6), ("crate", 7), ("::", 7), ("d", 7)];
        assert_eq!(lines, expected);
    }

    #[test]
    fn brackets_close_where_they_do() {
        let found = tokens("fn f(a: [u8; 2]) -> X { if '{' == x { } } fn g();");
        let open = body(&found, 0).unwrap();
        assert_eq!(found[closing(&found, open) + 1].text, "fn");
        assert_eq!(body(&found, closing(&found, open) + 1), None);
        let found = tokens("#[a(b)] #[c] fn");
        assert_eq!(found[past_attributes(&found, 0)].text, "fn");
    }
}
