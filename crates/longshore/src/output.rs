//! What commands print: tables for people, JSON for programs; errors in both forms.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Serialize;

use crate::exit::CliError;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// Tables and sentences.
    #[default]
    Human,
    /// As `human`, with more columns.
    Wide,
    /// One JSON value.
    Json,
}

/// A result that knows how a person wants to see it.
pub(crate) trait Render: Serialize {
    /// The text for a person, ending in a line break unless it is empty.
    fn human(&self, wide: bool) -> String;
}

/// Where a command prints.
pub(crate) struct Output<'a> {
    /// How.
    pub(crate) format: Format,
    /// Results.
    pub(crate) out: &'a mut dyn Write,
    /// Everything else.
    pub(crate) err: &'a mut dyn Write,
    /// Whether `err` is a terminal that may be coloured.
    pub(crate) colour: bool,
}

impl Output<'_> {
    /// Prints a command's result.
    ///
    /// # Errors
    /// The write failed; a closed pipe counts as success.
    pub(crate) fn result(&mut self, value: &dyn ErasedRender) -> io::Result<()> {
        let text = match self.format {
            Format::Json => value.json()?,
            Format::Human => value.text(false),
            Format::Wide => value.text(true),
        };
        pipe(
            self.out
                .write_all(text.as_bytes())
                .and_then(|()| self.out.flush()),
        )
    }

    /// Prints a sentence about what is being done; nothing in JSON, where only the result counts.
    ///
    /// # Errors
    /// The write failed; a closed pipe counts as success.
    pub(crate) fn say(&mut self, sentence: &str) -> io::Result<()> {
        if self.format == Format::Json {
            return Ok(());
        }
        pipe(writeln!(self.out, "{}", printable(sentence)).and_then(|()| self.out.flush()))
    }

    /// Prints a warning on the error stream.
    pub(crate) fn warn(&mut self, warning: &str) {
        // Nothing can be told when standard error itself is gone.
        let _ = match self.format {
            Format::Json => writeln!(self.err, "{}", serde_json::json!({ "warning": warning })),
            _ => writeln!(self.err, "warning: {}", printable(warning)),
        };
    }

    /// Prints a failure on the error stream.
    pub(crate) fn failure(&mut self, error: &CliError) {
        let text = match self.format {
            Format::Json => {
                let value = serde_json::json!({ "error": error });
                format!("{value}\n")
            }
            _ => failure_text(error, self.colour),
        };
        // Nothing can be told when standard error itself is gone; the exit code still says it.
        let _ = self.err.write_all(text.as_bytes());
    }
}

fn failure_text(error: &CliError, colour: bool) -> String {
    let word = if colour {
        "\u{1b}[1;31merror:\u{1b}[0m"
    } else {
        "error:"
    };
    let mut text = format!("{word} {}\n", printable(&error.message));
    for problem in &error.problems {
        let _ = writeln!(text, "  {}", printable(&problem.to_string()));
    }
    if let Some(remedy) = &error.remedy {
        let _ = writeln!(text, "help: {}", printable(remedy));
    }
    text
}

/// A closed pipe (`longshore ls | head -1`) is no failure.
fn pipe(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// The part of [`Render`] that can be called without knowing the type.
pub(crate) trait ErasedRender {
    /// The value as one line of JSON.
    ///
    /// # Errors
    /// The value has a map key that JSON cannot hold.
    fn json(&self) -> io::Result<String>;
    /// The value for a person.
    fn text(&self, wide: bool) -> String;
}

impl<T: Render> ErasedRender for T {
    fn json(&self) -> io::Result<String> {
        let mut text = serde_json::to_string_pretty(self).map_err(io::Error::other)?;
        text.push('\n');
        Ok(text)
    }

    fn text(&self, wide: bool) -> String {
        self.human(wide)
    }
}

/// Columns with a heading, in the style of kubectl.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self {
            rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()],
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(
            cells
                .into_iter()
                .map(|cell| {
                    if cell.is_empty() {
                        "-".to_owned()
                    } else {
                        printable(&cell)
                    }
                })
                .collect(),
        );
    }

    /// Each line ends in a line break; no line has trailing spaces.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width_of = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width_of).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(line, "{cell:<width$}   ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Text from outside without control characters, so that it cannot steer the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

/// A size for people: binary units, at most one decimal.
pub(crate) fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes;
    let mut tenths = 0;
    let mut unit = 0;
    for (index, _) in UNITS.iter().enumerate() {
        tenths = (value % 1024) * 10 / 1024;
        value /= 1024;
        unit = index;
        if value < 1024 {
            break;
        }
    }
    if tenths == 0 {
        format!("{value} {}", UNITS[unit])
    } else {
        format!("{value}.{tenths} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::ExitCode;

    #[test]
    fn tables_align_and_cannot_steer_the_terminal() {
        let mut table = Table::new(&["NAME", "SIZE"]);
        table.row(["a".into(), "1 GiB".into()]);
        table.row(["longer\u{1b}[2J".into(), String::new()]);
        assert_eq!(
            table.render(),
            "NAME         SIZE\na            1 GiB\nlonger\u{fffd}[2J   -\n"
        );
    }

    #[test]
    fn sizes_use_binary_units() {
        assert_eq!(human_bytes(0), "0 B");
        assert_eq!(human_bytes(1023), "1023 B");
        assert_eq!(human_bytes(1024), "1 KiB");
        assert_eq!(human_bytes(1536), "1.5 KiB");
        assert_eq!(human_bytes(300 << 20), "300 MiB");
        assert_eq!(human_bytes(u64::MAX), "15.9 EiB");
    }

    #[test]
    fn an_error_is_one_line_and_its_help_another() {
        let error = CliError::new(ExitCode::Refused, "not blank\u{7}").help("look at it");
        assert_eq!(
            failure_text(&error, false),
            "error: not blank\u{fffd}\nhelp: look at it\n"
        );
        assert!(failure_text(&error, true).contains("\u{1b}[1;31merror:"));
    }

    #[test]
    fn an_error_in_json_has_code_kind_message_and_remedy() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output = Output {
            format: Format::Json,
            out: &mut out,
            err: &mut err,
            colour: false,
        };
        output.failure(&CliError::new(ExitCode::Busy, "in use").help("stop it"));
        let value: serde_json::Value = serde_json::from_slice(&err).expect("JSON");
        assert_eq!(
            value,
            serde_json::json!({ "error": { "code": 8, "kind": "Busy", "message": "in use", "remedy": "stop it" } })
        );
    }
}
