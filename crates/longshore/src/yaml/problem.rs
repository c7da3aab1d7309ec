//! What is wrong in a YAML file: file, line, column, field path, and what to do.

use std::fmt;

use serde::Serialize;

use super::tree::Position;

/// The most problems that one file reports; a file with more is of another kind.
const MAX_PROBLEMS: usize = 50;

/// One thing that is wrong, or looks wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    /// The file as the user named it.
    pub(crate) file: String,
    /// Line, from 1.
    pub(crate) line: usize,
    /// Column in characters, from 1.
    pub(crate) column: usize,
    /// The field's path from its document's root, such as `spec.volumes[0].iscsi.lun`; empty for the file.
    pub(crate) field: String,
    /// What is wrong.
    pub(crate) problem: String,
    /// What to do, when it is not obvious.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: ", self.file, self.line, self.column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.problem)?;
        if let Some(remedy) = &self.remedy {
            write!(f, " ({remedy})")?;
        }
        Ok(())
    }
}

/// Collects what is wrong in one file, in the order in which it is found.
#[derive(Debug)]
pub(crate) struct Problems {
    file: String,
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Problems {
    pub(crate) fn new(file: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn build(&self, at: Position, field: &str, problem: String, remedy: Option<String>) -> Problem {
        Problem {
            file: self.file.clone(),
            line: at.line,
            column: at.column,
            field: field.to_owned(),
            problem,
            remedy,
        }
    }

    /// Notes an error.
    pub(crate) fn error(&mut self, at: Position, field: &str, problem: impl Into<String>) {
        let problem = self.build(at, field, problem.into(), None);
        push(&mut self.errors, problem);
    }

    /// Notes an error with what to do about it.
    pub(crate) fn error_with(
        &mut self,
        at: Position,
        field: &str,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let problem = self.build(at, field, problem.into(), Some(remedy.into()));
        push(&mut self.errors, problem);
    }

    /// Notes something that is only suspicious.
    pub(crate) fn warn(&mut self, at: Position, field: &str, problem: impl Into<String>) {
        let problem = self.build(at, field, problem.into(), None);
        push(&mut self.warnings, problem);
    }

    /// Takes the errors and the warnings out.
    pub(crate) fn into_parts(self) -> (Vec<Problem>, Vec<Problem>) {
        (self.errors, self.warnings)
    }
}

fn push(list: &mut Vec<Problem>, problem: Problem) {
    if list.len() < MAX_PROBLEMS && !list.contains(&problem) {
        list.push(problem);
    }
}
