//! What REST writes, between documents that come and builds that end.

use tidegate_admin::{Batch, Done, Import};
use tidegate_config::{Document, Imported, Input, Layer, References, import};
use tokio::sync::oneshot;

use super::*;

struct NoFiles;

impl References for NoFiles {
    fn read(&self, _: &str) -> Result<Vec<u8>, String> {
        Err("there are no files here".to_owned())
    }
}

fn documents(text: &str) -> Arc<Imported> {
    let watched = [Document { name: "config/a".to_owned(), text: text.as_bytes().to_vec() }];
    Arc::new(import(&Input { watched: &watched, ..Input::default() }, &NoFiles))
}

fn layer(note: &str) -> Arc<Layer> {
    let json = serde_json::json!({"pools": {"p": {"properties": {"basic": {"note": note}}}}});
    Arc::new(Layer::from_json(&json))
}

fn outcome(configuration: Option<&Arc<Configuration>>, imported: &Arc<Imported>) -> Outcome {
    Outcome {
        configuration: configuration.cloned(),
        base: None,
        objects: Vec::new(),
        faults: Vec::new(),
        imported: Some(Arc::clone(imported)),
        laid: None,
    }
}

/// Documents that were imported and compiled to `configuration`.
fn read(configuration: &Arc<Configuration>, imported: &Arc<Imported>) -> Event {
    Event::Compiled(outcome(Some(configuration), imported))
}

/// A layer over `imported` that was compiled to `configuration`.
fn laid(configuration: &Arc<Configuration>, imported: &Arc<Imported>, layer: &Arc<Layer>) -> Event {
    Event::Compiled(Outcome { laid: Some(Arc::clone(layer)), ..outcome(Some(configuration), imported) })
}

fn written(layer: &Arc<Layer>, over: &Arc<Imported>) -> Event {
    let (done, _) = oneshot::channel();
    Event::Written(Batch { layer: Arc::clone(layer), over: Some(over.digest()), done })
}

fn answers(effects: &[Effect]) -> Vec<Done> {
    let answer = |effect: &Effect| match effect {
        Effect::Answer(_, done) => Some(done.clone()),
        _ => None,
    };
    effects.iter().filter_map(answer).collect()
}

fn imports(effects: &[Effect]) -> Vec<Import> {
    let import = |effect: &Effect| match effect {
        Effect::Imported(import) => Some(import.clone()),
        _ => None,
    };
    effects.iter().filter_map(import).collect()
}

/// Serving what `imported` compiled to.
fn begun(configuration: &Arc<Configuration>, imported: &Arc<Imported>) -> Script {
    let mut script = Script::default();
    script.step(0, Event::DocumentsRead(Arc::default()), &["compile", "not ready"]);
    let effects = script.step(1, read(configuration, imported), &["discover", "build"]);
    assert_eq!(imports(&effects)[0].over, Some(imported.digest()));
    script.step(2, serving(configuration), &["ready"]);
    script
}

#[test]
fn a_write_is_answered_when_it_serves() {
    let (first, one, mine) = (configuration(false), documents("pools: []"), layer("mine"));
    let second = another(&first, 81);
    let mut script = begun(&first, &one);
    script.step(100, written(&mine, &one), &["lay"]);
    script.step(101, laid(&second, &one, &mine), &["discover", "build"]);
    // The end of a build that began before is no answer.
    script.step(102, serving(&first), &[]);
    script.0.build.running = true;
    let effects = script.step(103, serving(&second), &["answer"]);
    assert_eq!(answers(&effects), [Done::Serving]);
    // What changes nothing that serves is answered at once.
    let effects = script.step(200, written(&mine, &one), &["lay"]);
    assert!(answers(&effects).is_empty());
    let same = Arc::new(Configuration::clone(&second));
    let effects = script.step(201, laid(&same, &one, &mine), &["answer"]);
    assert_eq!(answers(&effects), [Done::Serving]);
}

#[test]
fn documents_go_first_and_other_ones_send_a_write_back() {
    let (first, one, mine) = (configuration(false), documents("pools: []"), layer("mine"));
    let two = documents("pools: [{name: two}]");
    let second = another(&first, 81);
    let mut script = begun(&first, &one);
    script.step(100, Event::DocumentsRead(Arc::default()), &["compile"]);
    script.step(101, written(&mine, &one), &[]);
    // The same documents again: the write goes over them.
    script.step(102, read(&first, &one), &["lay"]);
    script.step(103, Event::DocumentsRead(Arc::default()), &[]);
    // Compiled and about to be built when other documents come.
    script.step(104, laid(&second, &one, &mine), &["discover", "compile", "build"]);
    let third = another(&first, 82);
    let effects = script.step(105, read(&third, &two), &["answer", "discover"]);
    assert_eq!(answers(&effects), [Done::Overtaken]);
    assert_eq!(imports(&effects)[0].over, Some(two.digest()));
    // Written over documents that have gone.
    let effects = script.step(106, written(&mine, &one), &["answer"]);
    assert_eq!(answers(&effects), [Done::Overtaken]);
    script.step(107, written(&mine, &two), &["lay"]);
}

#[test]
fn the_same_documents_in_between_keep_what_was_written() {
    let (first, one, mine) = (configuration(false), documents("pools: []"), layer("mine"));
    let second = another(&first, 81);
    let mut script = begun(&first, &one);
    script.step(100, written(&mine, &one), &["lay"]);
    script.step(101, laid(&second, &one, &mine), &["discover", "build"]);
    let effects = script.step(102, Event::DocumentsRead(Arc::default()), &["compile"]);
    let Some(Effect::Compile(_, kept)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!((&kept.layer, kept.over), (&mine, Some(one.digest())));
    // They compile to something else after all (a file of theirs cannot be read any more, say).
    let third = another(&first, 82);
    script.step(103, read(&third, &one), &["discover"]);
    script.step(104, serving(&second), &[]);
    script.step(130, Event::Tick, &["build"]);
    let effects = script.step(131, serving(&third), &["answer"]);
    assert_eq!(answers(&effects), [Done::Serving]);
}

#[test]
fn documents_that_do_not_compile_undo_nothing_and_their_faults_are_told() {
    let (first, one, mine) = (configuration(false), documents("pools: []"), layer("mine"));
    let second = another(&first, 81);
    let mut script = begun(&first, &one);
    script.step(100, written(&mine, &one), &["lay"]);
    script.step(101, laid(&second, &one, &mine), &["discover", "build"]);
    script.step(102, serving(&second), &["answer"]);
    script.step(200, Event::DocumentsRead(Arc::default()), &["compile"]);
    let Event::Compiled(faulty) = bad() else { panic!("no outcome") };
    let base = documents("");
    let faulty = Outcome { imported: Some(base), ..faulty };
    let effects = script.step(201, Event::Compiled(faulty), &[]);
    assert!(imports(&effects).is_empty());
    let told = effects.iter().find_map(|effect| match effect {
        Effect::Condition(faults) => Some(Arc::clone(faults)),
        _ => None,
    });
    assert!(told.unwrap()[0].text.contains("nodes_tabel"));
    script.step(202, written(&layer("more"), &one), &["lay"]);
}

#[test]
fn what_was_written_before_lies_over_base_documents_while_the_others_are_broken() {
    let (first, one, mine) = (configuration(false), documents("pools: []"), layer("mine"));
    let kept = Kept { layer: Arc::clone(&mine), over: Some(one.digest()) };
    let mut script = Script(State::new(kept.clone()));
    let effects = script.step(0, Event::DocumentsRead(Arc::default()), &["compile", "not ready"]);
    assert!(matches!(&effects[0], Effect::Compile(_, given) if *given == kept));
    let Event::Compiled(faulty) = bad_over(Some(&first)) else { panic!("no outcome") };
    let faulty = Outcome { imported: Some(documents("")), ..faulty };
    let effects = script.step(1, Event::Compiled(faulty), &["discover", "build"]);
    // REST goes on over the import that its writes belong to.
    assert_eq!(imports(&effects)[0].over, Some(one.digest()));
    script.step(2, serving(&first), &["ready"]);
    script.step(3, written(&mine, &one), &["lay"]);
}

#[test]
fn a_build_that_breaks_off_is_told() {
    let (first, one, mine) = (configuration(false), documents("pools: []"), layer("mine"));
    let mut script = begun(&first, &one);
    script.step(100, written(&mine, &one), &["lay"]);
    script.step(101, laid(&another(&first, 81), &one, &mine), &["discover", "build"]);
    let effects = script.step(102, Event::BuildLost("why".to_owned()), &["answer"]);
    assert_eq!(answers(&effects), [Done::Lost("why".to_owned())]);
    script.step(200, written(&mine, &one), &["lay"]);
    let lost = Outcome { laid: Some(mine), ..Outcome::lost(&"why") };
    let effects = script.step(201, Event::Compiled(lost), &["answer"]);
    assert!(matches!(&answers(&effects)[0], Done::Lost(reason) if reason.contains("why")));
}
