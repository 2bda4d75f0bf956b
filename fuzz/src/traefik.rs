//! Whatever labels say, what is made of them is what Traefik can take: keys are keys, and JSON is JSON.
//!
//! The input is text: one label in each line, `key=value`. The last line may have parameters, after a `?`.

use std::collections::BTreeSet;

use registrator_traefik::{Addition, At, Joined, Place, Rank, Settings, Transport, document, is_key, object_of};

const PLACES: [Place; 3] = [
    Place { exposed: 80, registered: 8080, transport: Transport::Tcp },
    Place { exposed: 443, registered: 80, transport: Transport::Tcp },
    Place { exposed: 53, registered: 5353, transport: Transport::Udp },
];

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut settings = Settings::default();
    let query = text.lines().last().and_then(|line| line.strip_prefix('?')).unwrap_or_default();
    for (name, value) in query.split('&').filter_map(|part| part.split_once('=')) {
        if let Err(said) = settings.set(name, value) {
            assert!(!said.contains('\n'), "{said:?}");
        }
    }
    let labels: Vec<(&str, &str)> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let (addition, left_out) = Addition::read("shop.web_1", labels.iter().copied(), &PLACES);
    for out in &left_out {
        assert!(!out.why.to_string().contains('\n'), "{out:?}");
    }
    let again = Addition::read("shop.web_1", labels.iter().copied(), &PLACES);
    assert_eq!(again, (addition.clone(), left_out), "the same labels are read differently");
    let holders = ["a:web:80", "b:web:80"];
    let mut pieces = Vec::new();
    for (since, id) in holders.into_iter().enumerate() {
        for Place { exposed, registered: port, transport } in PLACES {
            let at = At { exposed, transport, address: "fd00::1", port, holder: ("host", id) };
            let rank = Rank { since: i64::try_from(since).unwrap_or_default(), owner: "host", id };
            pieces.extend(addition.part(&at, &settings).into_iter().map(|piece| (rank.clone(), piece)));
        }
    }
    let mut keys = BTreeSet::new();
    for (rank, piece) in &pieces {
        for (key, _) in piece.keys() {
            assert!(is_key(&key), "{key:?} is no key");
            assert_eq!(object_of(&key), Some(piece.object.to_string().to_lowercase()), "{key:?}");
            let of_server = key.contains("/loadBalancer/servers/");
            assert!(keys.insert((rank.id, key.clone())) || !of_server, "{key:?} is there twice");
        }
    }
    // Both define the same, so nothing is overruled.
    let Joined { document, overruled } = document(pieces);
    assert!(overruled.is_empty(), "{overruled:?}");
    assert!(
        document.as_object().is_some_and(|map| map.keys().all(|key| matches!(key.as_str(), "http" | "tcp" | "udp")))
    );
}
