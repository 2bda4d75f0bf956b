//! Odd names and addresses, and services that nobody would think of: each costs at most itself.

use std::sync::Arc;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use registrator::registry::RegistryError;
use registrator::service::Service;

use super::batches::Batches as _;
use super::services::any_service;
use super::{Subject, assert_held, entries, register, remove_all, service, with};

pub(super) async fn odd_names_cost_at_most_their_own_service(subject: &Subject) {
    let ours = &*subject.ours;
    let (long, wide) = ("x".repeat(255), "日".repeat(85));
    let odd = [
        "a/b",
        "/a",
        "a//b",
        "..",
        "../../x",
        ".",
        "a b",
        " ",
        "a%b",
        "a%2Fb",
        "%",
        "a?b=c",
        "a#b",
        "a&b",
        "a+b",
        "a;b",
        "a\"b",
        "a\\b",
        "a'b",
        "<b>",
        "a\nb",
        "a\r\nX: y",
        "\t",
        "a\0b",
        "é",
        "日本",
        "\u{202e}abc",
        "🐳",
        "$(x)",
        "{{x}}",
        "a:b:c",
        "*",
        "~",
        "",
        "::1",
        "fe80::1%eth0",
        "::ffff:10.0.0.1",
        "[::1]",
        "host.example.",
        &long,
        &wide,
    ];
    let mut services = Vec::new();
    for (n, odd) in odd.iter().enumerate() {
        let strange = |change: fn(&mut Service, &str), id: String| with(service(&id), |service| change(service, odd));
        services.push(strange(|service, odd| service.id = format!("odd-{odd}").into(), String::new()));
        services.push(strange(|service, odd| service.id = odd.into(), String::new()));
        services.push(strange(|service, odd| service.name = odd.to_owned(), format!("name-{n}")));
        services.push(strange(|service, odd| service.address = odd.into(), format!("address-{n}")));
        services.push(strange(|service, odd| service.tags = vec![odd.to_owned()].into(), format!("tag-{n}")));
        services.push(strange(
            |service, odd| drop(Arc::make_mut(&mut service.attributes).insert(odd.to_owned(), odd.to_owned())),
            format!("attribute-{n}"),
        ));
    }
    services.push(Arc::new(service("plain")));
    let services: Vec<_> =
        (10_000..).zip(&services).map(|(port, odd)| Arc::new(Service { port, ..Service::clone(odd) })).collect();
    let results = ours.register(&services).await;
    assert_eq!(results.last(), Some(&Ok(())));
    let taken: Vec<_> = services
        .iter()
        .zip(&results)
        .filter(|(_, result)| result.is_ok())
        .map(|(service, _)| Arc::clone(service))
        .collect();
    for (service, result) in services.iter().zip(&results) {
        match result {
            Ok(()) => {}
            Err(RegistryError::Refused { text: reason, .. } | RegistryError::Taken(reason)) => {
                assert!(!reason.is_empty() && !reason.chars().any(char::is_control), "{service:?}: {reason:?}");
            }
            Err(RegistryError::Unreachable(reason)) => panic!("{service:?}: {reason}"),
        }
    }
    assert!(taken.len() > services.len() / 2, "only {} of {} are taken", taken.len(), services.len());
    assert_held(ours, &taken).await;
    assert_eq!(entries(ours).await.len(), taken.len(), "there is more than was taken");
    remove_all(ours).await;
}

pub(super) async fn whatever_a_service_is_it_is_read_back_as_it_was_meant(subject: &Subject) {
    let ours = &*subject.ours;
    let mut runner = TestRunner::default();
    for round in 0..5 {
        let services: Vec<_> = (0..50)
            .map(|n| {
                let made = any_service().new_tree(&mut runner).expect("a service").current();
                with(made, |service| service.id = format!("{round}-{n}-{}", service.id).into())
            })
            .collect();
        register(ours, &services).await;
        assert_held(ours, &services).await;
        remove_all(ours).await;
    }
}
