use super::*;

fn set(nodes: &[u8]) -> NodeSet {
    NodeSet::of(nodes.iter().map(|last| SocketAddr::from(([192, 0, 2, *last], 80))))
}

fn rules() -> Rules {
    let timing = Timing { jitter_percent: 0, ..Timing::default() };
    Rules::of_name(&timing, &Policy::default(), None, None, false)
}

fn found(nodes: &[u8]) -> Outcome {
    with_ttl(nodes, 5)
}

fn with_ttl(nodes: &[u8], ttl: u64) -> Outcome {
    Outcome {
        verdict: Verdict::Found { nodes: set(nodes), coverage: Coverage::Complete },
        ttl: Some(Duration::from_secs(ttl)),
        exactly: None,
    }
}

fn partial(nodes: &[u8]) -> Outcome {
    Outcome {
        verdict: Verdict::Found { nodes: set(nodes), coverage: Coverage::Partial("cut".into()) },
        ttl: Some(Duration::from_secs(5)),
        exactly: None,
    }
}

fn empty() -> Outcome {
    Outcome { verdict: Verdict::Empty("NXDOMAIN".into()), ttl: None, exactly: None }
}

fn error() -> Outcome {
    Outcome::failed(FailureKind::Source, "SERVFAIL")
}

struct Run {
    schedule: Schedule,
    rules: Rules,
    now: Moment,
}

impl Run {
    fn new(rules: Rules) -> Self {
        Self { schedule: Schedule::default(), rules, now: Moment(1000) }
    }

    fn step(&mut self, outcome: &Outcome) -> Step {
        self.now = self.now.after(Duration::from_secs(5));
        self.schedule.apply(outcome, &self.rules, self.now, 0)
    }
}

const S: fn(u64) -> Duration = Duration::from_secs;

#[test]
fn adds_at_once_and_removes_after_confirmation() {
    let mut run = Run::new(rules());
    let step = run.step(&found(&[1, 2, 3]));
    assert_eq!((step.changed, step.added, step.wait, step.state), (true, 3, S(5), SourceState::Ok));
    let step = run.step(&found(&[1, 4]));
    assert_eq!((step.changed, step.added, step.removed), (true, 1, 0));
    assert_eq!(run.schedule.nodes(), set(&[1, 2, 3, 4]));
    let step = run.step(&found(&[1, 4]));
    assert_eq!((step.changed, step.removed), (true, 2));
    assert_eq!(run.schedule.nodes(), set(&[1, 4]));
    assert!(!run.step(&found(&[4, 1])).changed);
}

#[test]
fn a17_one_missing_answer_changes_nothing() {
    let mut run = Run::new(rules());
    run.step(&found(&[1, 2]));
    assert!(!run.step(&found(&[1])).changed);
    assert!(!run.step(&found(&[1, 2])).changed);
    // The count starts again.
    assert!(!run.step(&found(&[1])).changed);
    assert_eq!(run.schedule.nodes(), set(&[1, 2]));
}

#[test]
fn a18_a_node_that_left_comes_back_as_an_addition() {
    let mut run = Run::new(rules());
    run.step(&found(&[1, 2]));
    run.step(&found(&[1]));
    assert_eq!(run.step(&found(&[1])).removed, 1);
    assert_eq!(run.step(&found(&[1, 2])).added, 1);
}

#[test]
fn b18_alternating_replicas_do_not_flap() {
    let mut run = Run::new(rules());
    run.step(&found(&[1, 2, 3]));
    assert_eq!(run.step(&found(&[2, 3, 4])).added, 1);
    for _ in 0..15 {
        assert!(!run.step(&found(&[1, 2, 3])).changed);
        assert!(!run.step(&found(&[2, 3, 4])).changed);
    }
    assert_eq!(run.schedule.nodes(), set(&[1, 2, 3, 4]));
    run.step(&found(&[2, 3, 4]));
    assert_eq!(run.schedule.nodes(), set(&[2, 3, 4]));
}

#[test]
fn waits_follow_the_ttl_within_limits() {
    for (case, ttl, wait) in [("a8_ttl_zero", 0, 1), ("a3_ttl", 5, 5), ("a9_long_ttl", 86_400, 30)] {
        let mut run = Run::new(rules());
        assert_eq!(run.step(&with_ttl(&[1], ttl)).wait, S(wait), "{case}");
    }
    let timing = Timing { jitter_percent: 0, ..Timing::default() };
    let rules = Rules::of_name(&timing, &Policy::default(), Some(S(20)), Some(S(7)), false);
    for (ttl, wait) in [(1, 7), (10, 10), (60, 20)] {
        assert_eq!(Run::new(rules.clone()).step(&with_ttl(&[1], ttl)).wait, S(wait));
    }
    let rules = Rules::of_name(&timing, &Policy::default(), None, None, true);
    for (ttl, wait) in [(3, 10), (60, 21)] {
        assert_eq!(Run::new(rules.clone()).step(&with_ttl(&[1], ttl)).wait, S(wait));
    }
}

#[test]
fn jitter_stays_within_its_share() {
    let rules = Rules { jitter_percent: 10, ..rules() };
    for random in [0, 1, 499_999, 500_000, 999_999, u64::MAX] {
        let wait = Schedule::default().apply(&with_ttl(&[1], 10), &rules, Moment(0), random).wait;
        assert!((S(9)..=S(11)).contains(&wait), "{random}: {wait:?}");
        let wait = Schedule::default().apply(&with_ttl(&[1], 90), &rules, Moment(0), random).wait;
        assert!((S(27)..=S(30)).contains(&wait), "{random}: {wait:?}");
        let short = Rules { pace: Pace::Ttl { floor: S(1), ceiling: S(8) }, ..rules.clone() };
        let wait = Schedule::default().apply(&with_ttl(&[1], 90), &short, Moment(0), random).wait;
        assert!(wait <= S(8), "{random}: {wait:?}");
    }
}

#[test]
fn partial_answers_only_add() {
    let mut run = Run::new(rules());
    run.step(&found(&[1, 2]));
    for _ in 0..5 {
        let step = run.step(&partial(&[3]));
        assert_eq!((step.removed, step.state), (0, SourceState::Partial));
    }
    assert_eq!(run.schedule.nodes(), set(&[1, 2, 3]));
    // Nor do they count towards a removal.
    assert!(!run.step(&found(&[1, 3])).changed);
}

#[test]
fn f2_a_family_that_failed_keeps_its_nodes() {
    let mut run = Run::new(rules());
    let v6 = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 80));
    let mut both = set(&[1, 2]);
    both.nodes.insert(v6, DiscoveredNode::default());
    let outcome = |nodes: NodeSet, coverage| Outcome {
        verdict: Verdict::Found { nodes, coverage },
        ttl: Some(S(5)),
        exactly: None,
    };
    run.step(&outcome(both, Coverage::Complete));
    let without = || Coverage::Without(Family::V6, "timeout".into());
    for _ in 0..5 {
        assert_eq!(run.step(&outcome(set(&[1]), without())).state, SourceState::Partial);
    }
    let nodes = run.schedule.nodes();
    assert!(nodes.nodes.contains_key(&v6));
    assert_eq!(nodes.len(), 2);
}

#[test]
fn b1_b2_empties_are_confirmed() {
    let mut run = Run::new(rules());
    run.step(&found(&[1]));
    assert_eq!(run.step(&empty()).state, SourceState::Suspect { count: 1, needed: 3 });
    assert_eq!(run.step(&found(&[1])).state, SourceState::Ok);
    for count in 1..3 {
        let step = run.step(&empty());
        assert_eq!((step.changed, step.wait), (false, S(2)));
        assert_eq!(step.state, SourceState::Suspect { count, needed: 3 });
    }
    // An error in between neither counts nor resets.
    assert_eq!(run.step(&error()).state, SourceState::Stale);
    let step = run.step(&empty());
    assert_eq!((step.changed, step.removed), (true, 1));
    assert_eq!(step.state, SourceState::Empty { count: 3, needed: 3 });
    assert!(!run.step(&empty()).changed);
}

#[test]
fn b3_keep_never_empties() {
    let mut run = Run::new(Rules { empty: EmptyPolicy::Keep, ..rules() });
    run.step(&found(&[1]));
    for _ in 0..10 {
        assert_eq!(run.step(&empty()).state, SourceState::Stale);
    }
    assert_eq!(run.schedule.nodes(), set(&[1]));
    let mut run = Run::new(Rules { empty: EmptyPolicy::Immediate, ..rules() });
    run.step(&found(&[1]));
    assert_eq!(run.step(&empty()).removed, 1);
}

#[test]
fn first_answer_may_be_empty() {
    let mut run = Run::new(rules());
    for count in 1..=3 {
        let step = run.step(&empty());
        assert_eq!(step.state, SourceState::Empty { count, needed: 3 });
        assert_eq!(step.changed, count == 3);
    }
    assert!(run.schedule.answered());
}

#[test]
fn b7_b10_failures_keep_and_back_off() {
    let mut run = Run::new(rules());
    let waits: Vec<_> = (0..6).map(|_| run.step(&error()).wait.as_millis()).collect();
    assert_eq!(waits, [200, 400, 800, 1600, 2000, 2000], "while empty");
    run.step(&found(&[1]));
    let steps: Vec<_> = (0..7).map(|_| run.step(&error())).collect();
    assert_eq!(steps.iter().map(|step| step.wait.as_secs()).collect::<Vec<_>>(), [1, 2, 4, 8, 16, 30, 30]);
    assert_eq!(
        steps.iter().map(|step| step.alarm).collect::<Vec<_>>(),
        [false, false, true, true, true, true, true]
    );
    assert!(steps.iter().all(|step| step.state == SourceState::Stale && !step.changed));
    // Success starts the back-off anew.
    run.step(&found(&[1]));
    assert_eq!(run.step(&error()).wait, S(1));
}

#[test]
fn b11_old_sets_alarm_when_asked_to() {
    let mut run = Run::new(Rules { max_stale: Some(S(60)), ..rules() });
    run.step(&found(&[1]));
    assert!(!run.step(&error()).alarm);
    run.now = run.now.after(S(86_400));
    assert!(run.step(&error()).alarm);
    assert_eq!(run.schedule.nodes(), set(&[1]));
    assert!(!run.step(&found(&[1])).alarm);
}

#[test]
fn b20_large_removals_can_be_held() {
    let all: Vec<u8> = (1..=100).collect();
    let mut run = Run::new(Rules { max_removal_percent: Some(50), ..rules() });
    run.step(&found(&all));
    run.step(&found(&[1]));
    let step = run.step(&found(&[1]));
    assert_eq!((step.changed, step.alarm), (false, true));
    assert_eq!(step.state, SourceState::RemovalHeld { missing: 99, held: 100 });
    assert_eq!(run.schedule.len(), 100);
    let mut run = Run::new(rules());
    run.step(&found(&all));
    run.step(&found(&[1]));
    assert_eq!(run.step(&found(&[1])).removed, 99);
}

#[test]
fn changed_attributes_are_a_change_and_keep_the_node() {
    let mut run = Run::new(rules());
    run.step(&found(&[1, 2]));
    let mut nodes = set(&[1, 2]);
    if let Some(node) = nodes.nodes.values_mut().next() {
        node.draining = true;
    }
    let outcome =
        Outcome { verdict: Verdict::Found { nodes, coverage: Coverage::Complete }, ttl: None, exactly: None };
    let step = run.step(&outcome);
    assert_eq!((step.changed, step.added, step.removed), (true, 0, 0));
}

#[test]
fn remembered_nodes_stay_for_their_ttl() {
    let timing = Timing { jitter_percent: 0, ..Timing::default() };
    let mut run = Run::new(Rules::of_name(&timing, &Policy::default(), None, None, true));
    run.step(&with_ttl(&[1, 2], 60));
    for _ in 0..11 {
        assert!(!run.step(&with_ttl(&[1], 60)).changed);
    }
    assert_eq!(run.step(&with_ttl(&[1], 60)).removed, 1);
}

#[test]
fn plugins_wait_their_interval_unless_they_say_otherwise() {
    let timing = Timing { jitter_percent: 0, ..Timing::default() };
    let mut run = Run::new(Rules::of_plugin(&timing, &Policy::default(), None));
    assert_eq!(run.step(&found(&[1])).wait, S(10));
    let mut outcome = found(&[1]);
    outcome.exactly = Some(S(60));
    assert_eq!(run.step(&outcome).wait, S(60));
    assert_eq!(run.step(&empty()).wait, S(10));
    let waits: Vec<_> = (0..7).map(|_| run.step(&error()).wait.as_secs()).collect();
    assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60]);
    let busy = Outcome::failed(FailureKind::Busy, "another copy");
    for random in [0, 500_000, 999_999] {
        let wait = run.schedule.apply(&busy, &run.rules, run.now, random).wait;
        assert!((S(1)..=S(2)).contains(&wait), "{wait:?}");
    }
    let step = run.step(&Outcome::failed(FailureKind::Configuration, "400"));
    assert_eq!((step.state, step.alarm), (SourceState::ConfigError, true));
}

#[test]
fn a_warm_start_is_stale_until_answered() {
    let mut run = Run::new(rules());
    run.schedule.warm(&set(&[1, 2]));
    assert!(run.schedule.known() && !run.schedule.answered());
    assert_eq!(run.step(&error()).state, SourceState::Stale);
    let step = run.step(&found(&[1, 2]));
    assert_eq!((step.changed, step.state), (false, SourceState::Ok));
    assert!(run.schedule.answered());
}
