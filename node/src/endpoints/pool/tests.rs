//! What stays of an endpoint, and what begins anew, when the pool changes.

use super::*;

fn listed(name: &str) -> ListedEndpoint {
    ListedEndpoint {
        key: EndpointKey {
            namespace: "default".into(),
            name: name.into(),
            address: ([10, 0, 0, 1], 8000).into(),
        },
        metrics_host: "10.0.0.1:8000".into(),
        labels: BTreeMap::new(),
        ready: true,
        incarnation: None,
    }
}

fn incarnation(name: &str, incarnation: &str) -> ListedEndpoint {
    ListedEndpoint { incarnation: Some(incarnation.into()), ..listed(name) }
}

fn pool(endpoints: &[ListedEndpoint]) -> Pool {
    let mut pool = Pool::from_view(&View::default(), Arc::default());
    pool.apply(Event::Listed(endpoints.to_vec()));
    pool
}

fn endpoint(pool: &Pool, name: &str) -> Arc<Endpoint> {
    let view = pool.view();
    let member = view.members.iter().find(|member| member.endpoint.key.name == name);
    Arc::clone(&member.unwrap().endpoint)
}

fn names(pool: &Pool) -> Vec<String> {
    pool.view().members.iter().map(|member| member.endpoint.key.name.clone()).collect()
}

fn heard(pool: &Pool, name: &str, at: Instant, load: Load) -> Heard {
    Heard { endpoint: endpoint(pool, name), sampled_at: at, load }
}

fn started(process_start_s: f64) -> Load {
    Load { process_start_s: Some(process_start_s), ..Load::default() }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_list_replaces_the_pool_and_the_view_is_ordered_by_key() {
    let mut pool = pool(&[listed("b"), listed("a")]);
    assert_eq!(names(&pool), ["a", "b"]);
    assert_eq!(pool.apply(Event::Listed(vec![listed("c"), listed("b")])), Changed::Members);
    assert_eq!(names(&pool), ["b", "c"]);
    assert_eq!(pool.apply(Event::Listed(vec![])), Changed::Members);
    assert_eq!(names(&pool), Vec::<String>::new());
}

#[test]
fn events_one_by_one_do_what_a_list_does() {
    let mut pool = pool(&[listed("a")]);
    assert_eq!(pool.apply(Event::Upserted(listed("b"))), Changed::Members);
    assert_eq!(pool.apply(Event::Upserted(listed("b"))), Changed::Nothing);
    assert_eq!(pool.apply(Event::Removed(listed("a").key)), Changed::Members);
    assert_eq!(pool.apply(Event::Removed(listed("a").key)), Changed::Nothing);
    assert_eq!(names(&pool), ["b"]);
}

#[test]
fn a_relist_of_the_same_changes_nothing() {
    let mut pool = pool(&[listed("a"), incarnation("b", "1")]);
    let before = endpoint(&pool, "a");
    let again = Event::Listed(vec![incarnation("b", "1"), listed("a")]);
    assert_eq!(pool.apply(again), Changed::Nothing);
    assert!(Arc::ptr_eq(&before, &endpoint(&pool, "a")));
}

#[test]
fn a_readiness_flap_keeps_the_endpoint_and_its_sample() {
    let mut pool = pool(&[listed("a")]);
    let before = endpoint(&pool, "a");
    let now = crate::clock::now();
    pool.hear(heard(&pool, "a", now, Load::default()));
    let unready = ListedEndpoint { ready: false, ..listed("a") };
    assert_eq!(pool.apply(Event::Upserted(unready)), Changed::Members);
    let member = pool.view().members[0].clone();
    assert!(!member.ready && member.sample.is_some());
    assert!(Arc::ptr_eq(&before, &member.endpoint));
}

#[test]
fn another_description_keeps_slot_and_counts() {
    let mut pool = pool(&[listed("a")]);
    let before = endpoint(&pool, "a");
    before.in_flight.started(1);
    let relabelled =
        ListedEndpoint { labels: [("role".into(), "decode".into())].into(), ..listed("a") };
    assert_eq!(pool.apply(Event::Listed(vec![relabelled])), Changed::Members);
    let after = endpoint(&pool, "a");
    assert_eq!(after.labels["role"], "decode");
    assert_eq!((after.slot, after.in_flight.requests()), (before.slot, 1));
}

#[test]
fn another_incarnation_is_another_life_with_another_slot() {
    let mut pool = pool(&[incarnation("a", "1")]);
    let before = endpoint(&pool, "a");
    before.in_flight.started(1);
    let now = crate::clock::now();
    pool.hear(heard(&pool, "a", now, started(1.0)));
    assert_eq!(pool.apply(Event::Upserted(incarnation("a", "2"))), Changed::Members);
    let after = endpoint(&pool, "a");
    assert_eq!((after.slot, after.in_flight.requests()), (1, 0));
    assert!(pool.view().members[0].sample.is_none());
    let late = Heard { endpoint: before, sampled_at: now + SECOND, load: started(1.0) };
    assert_eq!(pool.hear(late), Changed::Nothing);
}

#[test]
fn an_older_page_does_not_replace_a_younger_one() {
    let mut pool = pool(&[listed("a")]);
    let now = crate::clock::now();
    assert_eq!(pool.hear(heard(&pool, "a", now + SECOND, started(1.0))), Changed::Loads);
    assert_eq!(pool.hear(heard(&pool, "a", now, started(1.0))), Changed::Nothing);
    let stranger = Heard {
        endpoint: Arc::new(new_life(listed("b"), &Slots::default())),
        sampled_at: now,
        load: Load::default(),
    };
    assert_eq!(pool.hear(stranger), Changed::Nothing);
}

#[test]
fn a_page_that_shows_a_restart_begins_another_life() {
    let counted = |tokens| Load { lifetime_tokens: Some(tokens), ..Load::default() };
    let rows = [
        (started(100.0), started(100.0), false),
        (started(100.0), started(101.0), false),
        (started(100.0), started(103.0), true),
        (started(100.0), Load::default(), false),
        (Load::default(), started(100.0), false),
        (counted(5.0), counted(5.0), false),
        (counted(5.0), counted(4.0), true),
    ];
    for (before, after, restarted) in rows {
        let mut pool = pool(&[listed("a")]);
        let now = crate::clock::now();
        let first = endpoint(&pool, "a");
        pool.hear(heard(&pool, "a", now, before.clone()));
        pool.hear(heard(&pool, "a", now + SECOND, after.clone()));
        let second = endpoint(&pool, "a");
        assert_eq!(!second.in_flight.same(&first.in_flight), restarted, "{before:?} {after:?}");
        assert_eq!(second.incarnation.is_some(), restarted);
        assert_eq!(pool.view().members[0].sample.as_ref().unwrap().load, after);
        // A list that tells no incarnation does not undo what the page showed.
        assert_eq!(pool.apply(Event::Listed(vec![listed("a")])), Changed::Nothing);
    }
}

#[test]
fn a_source_that_tells_lives_apart_is_believed_over_the_page() {
    let mut pool = pool(&[incarnation("a", "1")]);
    let now = crate::clock::now();
    pool.hear(heard(&pool, "a", now, started(100.0)));
    let later = heard(&pool, "a", now + SECOND, started(900.0));
    assert_eq!(pool.hear(later), Changed::Loads);
}

#[test]
fn a_pool_taken_up_from_a_view_keeps_every_life() {
    let slots = Arc::<Slots>::default();
    let mut first = Pool::from_view(&View::default(), Arc::clone(&slots));
    first.apply(Event::Listed(vec![listed("a"), incarnation("b", "1")]));
    let view = first.view();
    drop(first);
    let mut second = Pool::from_view(&view, slots);
    let again = Event::Listed(vec![listed("a"), incarnation("b", "1")]);
    assert_eq!(second.apply(again), Changed::Nothing);
    assert_eq!(second.apply(Event::Upserted(listed("c"))), Changed::Members);
    assert_eq!(endpoint(&second, "c").slot, 2);
}

#[test]
fn views_are_published_at_once_after_quiet_and_else_apart() {
    let mut pacer = Pacer::new(5 * SECOND);
    let start = crate::clock::now();
    assert_eq!(pacer.on_change(start), Pace::Publish);
    assert_eq!(pacer.on_change(start + SECOND), Pace::Wait(4 * SECOND));
    assert_eq!(pacer.on_change(start + 2 * SECOND), Pace::Nothing);
    pacer.on_waited(start + 5 * SECOND);
    assert_eq!(pacer.on_change(start + 7 * SECOND), Pace::Wait(3 * SECOND));
    pacer.on_waited(start + 10 * SECOND);
    assert_eq!(pacer.on_change(start + 15 * SECOND), Pace::Publish);
}
