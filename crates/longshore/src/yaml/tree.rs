//! YAML text as a tree that knows the line and column of everything in it, with every size bounded.
//!
//! `saphyr-parser` gives events with positions. The tree is built here because three things must be ours:
//! a position on every key and value, duplicate keys as errors, and a bound on what anchors may expand to
//! (the "billion laughs").

use std::collections::HashMap;
use std::fmt;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, StrInput, Tag};
use zeroize::Zeroizing;

/// The largest manifest that is read, in bytes. Kubernetes itself refuses objects above 1.5 MiB.
pub(crate) const MAX_FILE_BYTES: usize = 1 << 20;
/// The most documents in one file.
const MAX_DOCUMENTS: usize = 100;
/// The most keys and values in one file, aliases counted as what they expand to.
const MAX_NODES: usize = 20_000;
/// The most text in one file's keys and values, aliases counted as what they expand to.
const MAX_TEXT_BYTES: usize = 4 << 20;
/// How deeply lists and mappings may nest.
const MAX_DEPTH: usize = 32;

/// A place in a file, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    /// Line number.
    pub(crate) line: usize,
    /// Column number, in characters.
    pub(crate) column: usize,
}

impl From<Marker> for Position {
    fn from(marker: Marker) -> Self {
        Self {
            line: marker.line(),
            column: marker.col() + 1,
        }
    }
}

/// A value and where it starts.
#[derive(Clone)]
pub(crate) struct Node {
    /// Where the value starts.
    pub(crate) at: Position,
    /// The value.
    pub(crate) value: Value,
}

/// What a node holds. The text may be a secret: it is wiped when dropped, and never printed by `Debug`.
#[derive(Clone)]
pub(crate) enum Value {
    /// Nothing: `~`, `null` or an empty value.
    Null,
    /// A word written without quotes; its type is not decided yet.
    Plain(Zeroizing<String>),
    /// A quoted or block text: always a string.
    Text(Zeroizing<String>),
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping in the order of the file, without duplicate keys.
    Mapping(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Clone)]
pub(crate) struct Entry {
    /// The key.
    pub(crate) key: String,
    /// Where the key stands.
    pub(crate) key_at: Position,
    /// Its value.
    pub(crate) value: Node,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}:{}", self.kind(), self.at.line, self.at.column)
    }
}

impl Node {
    /// What the value is, in words for an error.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Plain(text) if is_boolean(text) => "a boolean",
            Value::Plain(text) if is_number(text) => "a number",
            Value::Plain(_) | Value::Text(_) => "a string",
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }

    fn cost(&self) -> Cost {
        let own = Cost {
            nodes: 1,
            text_bytes: 0,
        };
        match &self.value {
            Value::Null => own,
            Value::Plain(text) | Value::Text(text) => Cost {
                nodes: 1,
                text_bytes: text.len(),
            },
            Value::Sequence(items) => items.iter().fold(own, |sum, item| sum.plus(item.cost())),
            Value::Mapping(entries) => entries.iter().fold(own, |sum, entry| {
                sum.plus(Cost {
                    nodes: 1,
                    text_bytes: entry.key.len(),
                })
                .plus(entry.value.cost())
            }),
        }
    }
}

/// Whether an unquoted word is a boolean for Kubernetes (YAML 1.1 words included).
pub(crate) fn is_boolean(word: &str) -> bool {
    matches!(
        word.to_ascii_lowercase().as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n"
    )
}

/// Whether an unquoted word is a number for Kubernetes.
pub(crate) fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix(['+', '-']).unwrap_or(word);
    digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && (digits.parse::<f64>().is_ok()
            || ["0x", "0o", "0b"].iter().any(|prefix| {
                digits
                    .strip_prefix(prefix)
                    .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_hexdigit()))
            }))
}

/// Why a text is not YAML that we read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct YamlError {
    /// Where.
    pub(crate) at: Position,
    /// What is wrong.
    pub(crate) problem: String,
}

impl YamlError {
    fn new(at: impl Into<Position>, problem: impl Into<String>) -> Self {
        Self {
            at: at.into(),
            problem: problem.into(),
        }
    }
}

#[derive(Clone, Copy)]
struct Cost {
    nodes: usize,
    text_bytes: usize,
}

impl Cost {
    fn plus(self, other: Self) -> Self {
        Self {
            nodes: self.nodes + other.nodes,
            text_bytes: self.text_bytes + other.text_bytes,
        }
    }
}

/// Parses all documents of `text`; empty documents are left out.
///
/// # Errors
/// The first place where the text is not YAML, or passes a bound.
pub(crate) fn parse(text: &str) -> Result<Vec<Node>, YamlError> {
    if text.len() > MAX_FILE_BYTES {
        return Err(YamlError::new(
            Position { line: 1, column: 1 },
            format!(
                "the file has {} bytes; at most {MAX_FILE_BYTES} are read",
                text.len()
            ),
        ));
    }
    let mut builder = Builder {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        spent: Cost {
            nodes: 0,
            text_bytes: 0,
        },
    };
    let mut documents = Vec::new();
    loop {
        let (event, at) = builder.next()?;
        match event {
            Event::StreamEnd => return Ok(documents),
            Event::DocumentStart(_) => {
                builder.anchors.clear();
                let (event, at) = builder.next()?;
                let node = builder.node(event, at, 0)?;
                if !matches!(node.value, Value::Null) {
                    if documents.len() == MAX_DOCUMENTS {
                        return Err(YamlError::new(at, format!("more than {MAX_DOCUMENTS} documents")));
                    }
                    documents.push(node);
                }
            }
            Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
            _ => return Err(YamlError::new(at, "a value outside of any document")),
        }
    }
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    spent: Cost,
}

impl<'a> Builder<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Position), YamlError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, span.start.into())),
            Some(Err(error)) => Err(YamlError::new(
                *error.marker(),
                format!("this is not YAML: {}", error.info()),
            )),
            None => Ok((Event::StreamEnd, Position::default())),
        }
    }

    fn spend(&mut self, at: Position, cost: Cost) -> Result<(), YamlError> {
        self.spent = self.spent.plus(cost);
        if self.spent.nodes > MAX_NODES || self.spent.text_bytes > MAX_TEXT_BYTES {
            return Err(YamlError::new(
                at,
                format!(
                    "too much content (at most {MAX_NODES} values and {MAX_TEXT_BYTES} bytes of text, anchors \
                     counted as what they expand to)"
                ),
            ));
        }
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, at: Position, depth: usize) -> Result<Node, YamlError> {
        if depth > MAX_DEPTH {
            return Err(YamlError::new(at, format!("nested more than {MAX_DEPTH} deep")));
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.spend(
                    at,
                    Cost {
                        nodes: 1,
                        text_bytes: text.len(),
                    },
                )?;
                (scalar(&text, style, tag.as_deref(), at)?, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), at)?;
                self.spend(
                    at,
                    Cost {
                        nodes: 1,
                        text_bytes: 0,
                    },
                )?;
                (self.sequence(depth)?, anchor)
            }
            Event::MappingStart(anchor, tag) => {
                refuse_tag(tag.as_deref(), at)?;
                self.spend(
                    at,
                    Cost {
                        nodes: 1,
                        text_bytes: 0,
                    },
                )?;
                (self.mapping(depth)?, anchor)
            }
            Event::Alias(id) => {
                let cost = match self.anchors.get(&id) {
                    Some(node) => node.cost(),
                    None => return Err(YamlError::new(at, "an alias inside of the value that it names")),
                };
                self.spend(at, cost)?;
                let value = self
                    .anchors
                    .get(&id)
                    .map_or(Value::Null, |node| node.value.clone());
                return Ok(Node { at, value });
            }
            _ => return Err(YamlError::new(at, "a value is missing here")),
        };
        let node = Node { at, value };
        if anchor != 0 {
            self.spend(at, node.cost())?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn sequence(&mut self, depth: usize) -> Result<Value, YamlError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::Sequence(items)),
                (event, at) => items.push(self.node(event, at, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Value, YamlError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut places: HashMap<String, Position> = HashMap::new();
        loop {
            let (event, key_at) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(Value::Mapping(entries)),
                Event::Scalar(text, ..) => text.into_owned(),
                _ => return Err(YamlError::new(key_at, "a key must be a word")),
            };
            if key == "<<" {
                return Err(YamlError::new(
                    key_at,
                    "merge keys (`<<`) are not supported: write the fields out",
                ));
            }
            if let Some(first) = places.insert(key.clone(), key_at) {
                return Err(YamlError::new(
                    key_at,
                    format!(
                        "`{key}` is given twice in one mapping (first in line {})",
                        first.line
                    ),
                ));
            }
            self.spend(
                key_at,
                Cost {
                    nodes: 1,
                    text_bytes: key.len(),
                },
            )?;
            let (event, at) = self.next()?;
            let value = self.node(event, at, depth + 1)?;
            entries.push(Entry { key, key_at, value });
        }
    }
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Position) -> Result<Value, YamlError> {
    let own = || Zeroizing::new(text.to_owned());
    let is_string_tag = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
    if !is_string_tag {
        refuse_tag(tag, at)?;
    }
    if is_string_tag || style != ScalarStyle::Plain {
        return Ok(Value::Text(own()));
    }
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        _ => Value::Plain(own()),
    })
}

fn refuse_tag(tag: Option<&Tag>, at: Position) -> Result<(), YamlError> {
    match tag {
        None => Ok(()),
        Some(tag)
            if tag.is_yaml_core_schema()
                && matches!(tag.suffix.as_str(), "map" | "seq" | "int" | "bool" | "null") =>
        {
            Ok(())
        }
        Some(tag) => Err(YamlError::new(at, format!("the tag `{tag}` is not supported"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> (usize, usize, String) {
        let error = parse(text).expect_err("should not parse");
        (error.at.line, error.at.column, error.problem)
    }

    #[test]
    fn positions_count_from_one() {
        let documents = parse("a: 1\n---\n# note\nb:\n  - x\n  - yy: 'z'\n").expect("parses");
        assert_eq!(documents.len(), 2);
        let Value::Mapping(entries) = &documents[1].value else {
            panic!("a mapping")
        };
        assert_eq!(entries[0].key_at, Position { line: 4, column: 1 });
        let Value::Sequence(items) = &entries[0].value.value else {
            panic!("a list")
        };
        assert_eq!(items[0].at, Position { line: 5, column: 5 });
        let Value::Mapping(inner) = &items[1].value else {
            panic!("a mapping")
        };
        assert_eq!(inner[0].key_at, Position { line: 6, column: 5 });
        assert_eq!(inner[0].value.at, Position { line: 6, column: 9 });
    }

    #[test]
    fn duplicate_keys_name_both_places() {
        let (line, column, problem) = error("a: 1\nb: 2\na: 3\n");
        assert_eq!((line, column), (3, 1));
        assert!(problem.contains("first in line 1"), "{problem}");
    }

    #[test]
    fn a_billion_laughs_stops_at_the_bound() {
        // With text and without: each has a bound of its own.
        for leaf in ["xxxxxxxxxxxxxxxxxxxx", "[]"] {
            let leaves = [leaf; 10].join(", ");
            let mut text = format!("a0: &a0 [{leaves}]\n");
            for level in 1..7 {
                let refs = vec![format!("*a{}", level - 1); 10].join(", ");
                text.push_str(&format!("a{level}: &a{level} [{refs}]\n"));
            }
            assert!(error(&text).2.contains("too much content"), "{leaf}");
        }
    }

    #[test]
    fn an_alias_may_be_used_within_the_bound() {
        let documents = parse("a: &x [1, 2]\nb: *x\n").expect("parses");
        let Value::Mapping(entries) = &documents[0].value else {
            panic!("a mapping")
        };
        assert!(matches!(&entries[1].value.value, Value::Sequence(items) if items.len() == 2));
    }

    #[test]
    fn depth_size_tags_and_merge_keys_are_refused() {
        assert!(error(&"[".repeat(200)).2.contains("deep"));
        assert!(error(&" ".repeat(MAX_FILE_BYTES + 1)).2.contains("bytes"));
        assert!(error("a: !!python/object x").2.contains("tag"));
        assert!(error("a: &x {b: 1}\nc:\n  <<: *x\n").2.contains("merge keys"));
        assert!(error("a: &x [*x]").2.contains("alias inside"));
        assert!(error("a: *nowhere").2.contains("not YAML"));
        assert!(error(&"---\na: 1\n".repeat(101)).2.contains("documents"));
    }

    #[test]
    fn broken_text_is_an_error_with_its_place() {
        let (line, _, problem) = error("a: 1\nb: [1, 2\nc: 3\n");
        assert!(
            line >= 2 && problem.starts_with("this is not YAML"),
            "{line}: {problem}"
        );
    }

    #[test]
    fn words_have_the_types_that_kubernetes_gives_them() {
        for word in ["1", "-3", "+4", "1.5", "1e3", "0x1f", ".5"] {
            assert!(is_number(word), "{word}");
        }
        for word in ["iqn.2026", "1a", "0x", "", "-", "nan", "inf", "10.0.0.1"] {
            assert!(!is_number(word), "{word}");
        }
    }
}
