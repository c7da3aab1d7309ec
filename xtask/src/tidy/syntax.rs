//! Checks on syntax trees: where unsafe code, child processes, clocks and sockets may stand, and how long a
//! function may be.

use super::{Problem, read};
use std::path::{Path, PathBuf};
use syn::spanned::Spanned;
use syn::visit::Visit;

/// No function outside tests may be longer, in lines.
const LONGEST_FUNCTION: usize = 110;

/// Files and folders that may hold unsafe code (ARCHITECTURE.md, "Unsafe").
const UNSAFE: [&str; 2] = ["crates/blockdev/src", "crates/mount/src/sys"];

/// Files and folders that may start a child process (ARCHITECTURE.md, "Child processes").
const CHILDREN: [&str; 4] = [
    "crates/disk/src/tools",
    "crates/dataplane/src/spawn",
    "crates/longshore/src/demo",
    "xtask/src",
];

/// Paths that protocol code must not name: it has no I/O, no clock and no threads.
const NOT_IN_PROTOCOL: [&str; 7] = [
    "std::net",
    "std::fs",
    "std::io",
    "std::thread",
    "std::process",
    "Instant::now",
    "SystemTime",
];

/// Plain values in those modules, with no I/O in them.
const VALUES: [&str; 4] = [
    "std::io::IoSlice",
    "std::net::IpAddr",
    "std::net::Ipv4Addr",
    "std::net::Ipv6Addr",
];

pub(super) fn check(root: &Path, files: &[PathBuf], problems: &mut Vec<Problem>) -> Result<(), String> {
    for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "rs")) {
        if file.starts_with("fuzz") {
            continue;
        }
        let text = read(root, file)?;
        let tree =
            syn::parse_file(&text).map_err(|e| format!("tidy: {} is not Rust: {e}", file.display()))?;
        let is_test = is_test_file(file);
        let mut reader = Reader {
            file,
            is_test,
            may_be_unsafe: is_test || stands_in(file, &UNSAFE),
            may_start_children: is_test || stands_in(file, &CHILDREN),
            is_protocol: !is_test && stands_in(file, &["crates/scsi/src", "crates/iscsi/src"]),
            problems,
        };
        reader.visit_file(&tree);
        if file.file_name().is_some_and(|n| n == "lib.rs")
            && !stands_in(file, &["crates/blockdev", "crates/mount"])
        {
            let forbids = tree
                .attrs
                .iter()
                .any(|a| text_of(a).contains("forbid") && text_of(a).contains("unsafe_code"));
            if !forbids {
                problems.push(Problem::new(
                    file,
                    1,
                    "a crate without unsafe modules says `#![forbid(unsafe_code)]`",
                ));
            }
        }
    }
    Ok(())
}

/// Whether a file is one of `places`, lies below one, or is the one with `.rs` added.
fn stands_in(file: &Path, places: &[&str]) -> bool {
    places
        .iter()
        .any(|place| file.starts_with(place) || file == Path::new(&format!("{place}.rs")))
}

fn is_test_file(file: &Path) -> bool {
    file.iter()
        .any(|part| part == "tests" || part == "benches" || part == "examples")
        || file
            .file_stem()
            .is_some_and(|stem| stem == "tests" || stem.to_string_lossy().ends_with("_tests"))
}

fn text_of(attribute: &syn::Attribute) -> String {
    match &attribute.meta {
        syn::Meta::List(list) => format!("{}({})", path_text(&list.path), list.tokens),
        other => path_text(other.path()),
    }
}

fn path_text(path: &syn::Path) -> String {
    path.segments
        .iter()
        .map(|s| s.ident.to_string())
        .collect::<Vec<_>>()
        .join("::")
}

struct Reader<'a> {
    file: &'a Path,
    is_test: bool,
    may_be_unsafe: bool,
    may_start_children: bool,
    is_protocol: bool,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    fn problem(&mut self, span: proc_macro2::Span, text: impl Into<String>) {
        self.problems
            .push(Problem::new(self.file, span.start().line, text));
    }

    fn check_path(&mut self, text: &str, span: proc_macro2::Span) {
        let names_command = text.ends_with("process::Command") || text.ends_with("Command::new");
        if names_command && !self.may_start_children {
            self.problem(
                span,
                format!("starts a child process; only {} may", CHILDREN.join(", ")),
            );
        }
        if self.is_protocol
            && !VALUES.contains(&text)
            && NOT_IN_PROTOCOL
                .iter()
                .any(|no| text == *no || text.starts_with(&format!("{no}::")))
        {
            self.problem(
                span,
                format!("protocol code names `{text}`; it has no I/O, no clock and no threads"),
            );
        }
    }

    fn check_length(&mut self, span: proc_macro2::Span, name: &syn::Ident) {
        let lines = span.end().line - span.start().line + 1;
        if !self.is_test && lines > LONGEST_FUNCTION {
            self.problem(
                span,
                format!("`{name}` has {lines} lines, more than {LONGEST_FUNCTION}"),
            );
        }
    }
}

fn is_test_item(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|a| {
        let text = text_of(a);
        text == "test" || text.ends_with("::test") || (text.starts_with("cfg(") && text.contains("test"))
    })
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_test_item(&item.attrs) {
            syn::visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if is_test_item(&item.attrs) {
            return;
        }
        self.check_length(item.span(), &item.sig.ident);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if is_test_item(&item.attrs) {
            return;
        }
        self.check_length(item.span(), &item.sig.ident);
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        if !self.may_be_unsafe {
            self.problem(
                block.span(),
                format!("unsafe code; only {} may hold it", UNSAFE.join(", ")),
            );
        }
        syn::visit::visit_expr_unsafe(self, block);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.check_path(&path_text(path), path.span());
        syn::visit::visit_path(self, path);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut found = Vec::new();
        use_paths(&item.tree, String::new(), &mut found);
        for text in found {
            self.check_path(&text, item.span());
        }
    }
}

/// Every full path that a `use` brings in.
fn use_paths(tree: &syn::UseTree, before: String, found: &mut Vec<String>) {
    let join = |name: &syn::Ident| {
        if before.is_empty() {
            name.to_string()
        } else {
            format!("{before}::{name}")
        }
    };
    match tree {
        syn::UseTree::Path(path) => use_paths(&path.tree, join(&path.ident), found),
        syn::UseTree::Name(name) => found.push(join(&name.ident)),
        syn::UseTree::Rename(rename) => found.push(join(&rename.ident)),
        syn::UseTree::Glob(_) => found.push(before),
        syn::UseTree::Group(group) => group
            .items
            .iter()
            .for_each(|item| use_paths(item, before.clone(), found)),
    }
}
