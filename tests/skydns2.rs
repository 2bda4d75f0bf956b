//! The whole program with SkyDNS's records in a real etcd, and real containers: what a resolver finds.

mod skydns;
mod support;

use skydns::{Reader, keys_of_v2};
use support::{IP, SOON, registrator};
use testkit::docker::{Spec, unique};
use testkit::etcd::{EtcdServer, Options};
use testkit::wait::becomes;

#[tokio::test]
async fn a_container_resolves_while_it_runs() {
    let server = EtcdServer::with(Options { v2: true, ..Options::default() }).await;
    let name = unique("dns");
    let label = name.to_lowercase();
    let chosen = Spec::new(&name).publish("80/tcp").env(&format!("SERVICE_NAME={name}")).env("SERVICE_ID=chosen");
    let chosen = chosen.env("SERVICE_PRIORITY=20").start();
    let plain = Spec::new(&format!("{name}.2")).publish("80/tcp").env(&format!("SERVICE_NAME={name}")).start();
    let uri = format!("skydns2://{}/cluster.local", server.address());
    let program = registrator(&uri, &["-ttl", "30", "-ttl-refresh", "10"]);
    let answers = async || {
        let reader = Reader(keys_of_v2(server.address(), "/skydns").await);
        let answers = reader.srv(&format!("{label}.cluster.local"));
        let mut seen: Vec<_> =
            answers.iter().map(|answer| (answer.priority, answer.port, reader.addresses(&answer.target))).collect();
        seen.sort();
        seen
    };
    let here = vec![IP.to_owned()];
    let (first, second) = (chosen.host_port("80/tcp"), plain.host_port("80/tcp"));
    becomes(vec![(10, second, here.clone()), (20, first, here.clone())], SOON, answers).await;
    let keys = keys_of_v2(server.address(), "/skydns").await;
    let expected = format!("{{\"host\":\"{IP}\",\"port\":{first},\"priority\":20}}");
    assert_eq!(keys.get(&format!("/skydns/local/cluster/{label}/chosen")), Some(&expected));
    drop(plain);
    becomes(vec![(20, first, here)], SOON, answers).await;
    drop(chosen);
    becomes(vec![], SOON, answers).await;
    drop(program);
}
