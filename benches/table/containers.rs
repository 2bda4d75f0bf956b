//! The containers of the fake engine: what a real engine says of one, with 1 to 3 published ports.

use std::sync::OnceLock;

use serde_json::{Map, Value};
use testkit::engine::FakeContainer;

/// What a real engine said of a container.
const REAL: &str = include_str!("../../tests/fixtures/engine/docker-20.10-running.json");

/// What the fake says by itself.
const OWN: [&str; 8] = ["Id", "Created", "Name", "Image", "State", "Config", "HostConfig", "NetworkSettings"];
const OWN_CONFIG: [&str; 5] = ["Image", "Hostname", "Env", "Labels", "ExposedPorts"];
const OWN_HOST_CONFIG: [&str; 2] = ["NetworkMode", "PortBindings"];
const OWN_NETWORK: [&str; 4] = ["SandboxID", "Ports", "Networks", "IPAddress"];

/// The container of this number; every third has 1, 2 and 3 ports.
pub fn container(number: usize) -> FakeContainer {
    let mut container = FakeContainer::new(&format!("c{number}"))
        .image(&format!("registry.example:5000/team/app-{}:1.2", number % 50))
        .env("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("SERVICE_TAGS=blue,v2")
        .env("SERVICE_REGION=eu-west")
        .env("LANG=C.UTF-8")
        .label("com.docker.compose.project", "shop")
        .label("com.docker.compose.service", "app");
    for (number, port) in ports(number) {
        container = container.publish(&format!("{number}/tcp"), port);
    }
    rest().iter().fold(container, |container, (pointer, value)| container.with(pointer, value.clone()))
}

/// The ports of the container of this number, inside and outside.
pub fn ports(number: usize) -> impl Iterator<Item = (u16, u16)> {
    let first = u16::try_from(number * 3 % 40_000).unwrap() + 20_000;
    (0..=u16::try_from(number % 3).unwrap()).map(move |port| (8000 + port, first + port))
}

/// How many services so many containers offer.
pub fn services(containers: usize) -> usize {
    (0..containers).map(|number| number % 3 + 1).sum()
}

/// All that a real engine says besides what the fake says by itself, by JSON pointer.
fn rest() -> &'static [(String, Value)] {
    static REST: OnceLock<Vec<(String, Value)>> = OnceLock::new();
    REST.get_or_init(|| {
        let said: Value = serde_json::from_str(REAL).unwrap();
        let members = |place: &str, own: &[&str]| -> Vec<(String, Value)> {
            let none = Map::new();
            let object = said.pointer(place).and_then(Value::as_object).unwrap_or(&none);
            let others = object.iter().filter(|(key, _)| !own.contains(&key.as_str()));
            others.map(|(key, value)| (format!("{place}/{key}"), value.clone())).collect()
        };
        let mut rest = members("", &OWN);
        rest.extend(members("/Config", &OWN_CONFIG));
        rest.extend(members("/HostConfig", &OWN_HOST_CONFIG));
        rest.extend(members("/NetworkSettings", &OWN_NETWORK));
        rest
    })
}
