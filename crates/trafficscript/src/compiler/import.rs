//! Rules whose subs other rules call.

use std::{collections::HashMap, rc::Rc, sync::Arc};

use super::Compiler;
use crate::{
    note::Severity,
    syntax::{self, Place, Span, Tree},
};

/// Most rules that one rule imports, directly or not.
const MAX_IMPORTS: usize = 64;
/// Longest chain of rules that import each other.
const MAX_CHAIN: usize = 16;

/// A rule whose subs can be called: that which is compiled, or one that it imports.
pub(super) struct Module {
    /// Index in the list of modules.
    pub index: usize,
    pub name: String,
    pub text: Arc<[u8]>,
    pub tree: Tree,
    /// Where the rule that is compiled imports it, perhaps through others.
    pub imported_at: Option<Place>,
    /// Lower-cased name → index in the subs of the tree.
    pub subs: HashMap<String, usize>,
}

impl Module {
    pub(super) fn new(
        index: usize,
        name: &str,
        text: Arc<[u8]>,
        tree: Tree,
        imported_at: Option<Place>,
    ) -> Self {
        let mut module = Self { index, name: name.to_owned(), text, tree, imported_at, subs: HashMap::new() };
        for index in 0..module.tree.subs.len() {
            let name = module.tree.subs.get(index).map(|sub| module.str(sub.name).to_ascii_lowercase());
            module.subs.entry(name.unwrap_or_default()).or_insert(index);
        }
        module
    }

    /// A name in the text.
    pub(super) fn str(&self, span: Span) -> &str {
        let bytes = self.text.get(span.start as usize..span.end as usize).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl Compiler<'_> {
    /// Loads what a module imports and what that imports. `chain` is the names of the rules on the way here.
    pub(super) fn load_imports(&mut self, module: &Rc<Module>, chain: &mut Vec<String>) {
        for import in &module.tree.imports {
            let at = module.imported_at.unwrap_or(import.place);
            let Some(loaded) = self.load(module, &import.rule, import.place, at, chain) else { continue };
            self.aliases.insert((module.index, import.alias.to_ascii_lowercase()), loaded);
        }
    }

    fn load(
        &mut self,
        from: &Rc<Module>,
        name: &str,
        here: Place,
        at: Place,
        chain: &mut Vec<String>,
    ) -> Option<usize> {
        if let Some(first) = chain.iter().position(|known| known == name) {
            let mut circle: Vec<&str> = chain.iter().skip(first).map(String::as_str).collect();
            circle.push(name);
            let message = format!("rules import each other: {}", circle.join(" → "));
            self.note(from, here, Severity::Error, message, None);
            return None;
        }
        if let Some(known) = self.modules.iter().position(|module| module.name == name) {
            return Some(known);
        }
        if self.modules.len() > MAX_IMPORTS || chain.len() > MAX_CHAIN {
            let message = format!("more than {MAX_IMPORTS} imports, or a chain of more than {MAX_CHAIN}");
            self.note(from, here, Severity::Error, message, None);
            return None;
        }
        let Some(text) = (self.imports)(name) else {
            self.note(from, here, Severity::Error, format!("there is no rule `{name}` to import"), None);
            return None;
        };
        let mut tree = syntax::parse(&text);
        let notes = std::mem::take(&mut tree.notes).notes;
        let module = Rc::new(Module::new(self.modules.len(), name, text, tree, Some(at)));
        for note in notes.into_iter().filter(|note| note.severity == Severity::Error) {
            self.note(&module, Place { at: 0, line: note.line }, Severity::Error, note.message, note.hint);
        }
        self.modules.push(Rc::clone(&module));
        chain.push(name.to_owned());
        self.load_imports(&module, chain);
        chain.pop();
        Some(module.index)
    }
}
