//! The examples of confd's documentation, as they stand there, on the back ends that they are for.

use testkit::consul::Consul;
use testkit::etcd::{self, EtcdServer};

use crate::fixture::Confdir;

/// The quick start: one resource of two keys.
fn quick_start() -> Confdir {
    let confdir = Confdir::new();
    confdir.template(
        "myconfig.conf.tmpl",
        "[myconfig]\ndatabase_url = {{getv \"/myapp/database/url\"}}\ndatabase_user = {{getv \"/myapp/database/user\"}}\n",
    );
    confdir.resource(
        "myconfig.conf",
        "src = \"myconfig.conf.tmpl\"\nkeys = [\n    \"/myapp/database/url\",\n    \"/myapp/database/user\",\n]\n",
    );
    confdir
}

const QUICK_START: &str = "[myconfig]\ndatabase_url = db.example.com\ndatabase_user = rob\n";

#[tokio::test]
async fn the_quick_start_works_with_etcd() {
    let etcd = EtcdServer::with(etcd::Options { v2: true, ..etcd::Options::default() }).await;
    etcd.ctl_v2(&["set", "/myapp/database/url", "db.example.com"]);
    etcd.ctl_v2(&["set", "/myapp/database/user", "rob"]);
    let confdir = quick_start();
    let node = format!("http://{}", etcd.address());
    confdir.run(&["-onetime", "-backend", "etcd", "-node", &node]).well();
    assert_eq!(confdir.read("myconfig.conf").as_deref(), Some(QUICK_START));
    // etcd is the back end if none is said; ETCDCTL_PEERS are its nodes.
    let confdir = quick_start();
    confdir.run_with(&["-onetime"], &[("ETCDCTL_PEERS", &node)]).well();
    assert_eq!(confdir.read("myconfig.conf").as_deref(), Some(QUICK_START));
}

#[tokio::test]
async fn the_quick_start_works_with_consul() {
    let consul = Consul::start().await;
    consul.put_key("myapp/database/url", "db.example.com").await;
    consul.put_key("myapp/database/user", "rob").await;
    let confdir = quick_start();
    // Only the first node of Consul is asked.
    let node = consul.address().to_string();
    confdir.run(&["-onetime", "-backend", "consul", "-node", &node, "-node", "127.0.0.1:1"]).well();
    assert_eq!(confdir.read("myconfig.conf").as_deref(), Some(QUICK_START));
}

#[test]
fn the_quick_start_works_with_the_environment() {
    let confdir = quick_start();
    let variables = [("MYAPP_DATABASE_URL", "db.example.com"), ("MYAPP_DATABASE_USER", "rob")];
    confdir.run_with(&["-onetime", "-backend", "env"], &variables).well();
    assert_eq!(confdir.read("myconfig.conf").as_deref(), Some(QUICK_START));
}

/// The advanced example: two resources with prefixes of their own share a template.
#[tokio::test]
async fn two_resources_with_prefixes_share_a_template() {
    let etcd = EtcdServer::start().await;
    for (app, first) in [("myapp", 100), ("yourapp", 102)] {
        etcd.ctl(&["put", &format!("/{app}/subdomain"), app]);
        etcd.ctl(&["put", &format!("/{app}/upstream/app2"), &format!("10.0.1.{first}:80")]);
        etcd.ctl(&["put", &format!("/{app}/upstream/app1"), &format!("10.0.1.{}:80", first + 1)]);
    }
    let confdir = Confdir::new();
    confdir.template(
        "nginx.tmpl",
        "upstream {{getv \"/subdomain\"}} {\n{{range getvs \"/upstream/*\"}}\n    server {{.}};\n{{end}}\n}\n\nserver {\n    \
         server_name  {{getv \"/subdomain\"}}.example.com;\n    location / {\n        \
         proxy_pass        http://{{getv \"/subdomain\"}};\n        proxy_redirect    off;\n        \
         proxy_set_header  Host             $host;\n   }\n}\n",
    );
    let owner = nix::unistd::User::from_uid(nix::unistd::getuid()).unwrap().unwrap().name;
    for app in ["myapp", "yourapp"] {
        confdir.resource(
            &format!("{app}.conf"),
            &format!(
                "prefix = \"/{app}\"\nsrc = \"nginx.tmpl\"\nowner = \"{owner}\"\nmode = \"0644\"\n\
                 keys = [\n  \"/subdomain\",\n  \"/upstream\",\n]\ncheck_cmd = \"test -s {{{{.src}}}}\"\nreload_cmd = \"true\"\n"
            ),
        );
    }
    confdir.run(&["-onetime", "-backend", "etcdv3", "-node", &etcd.address().to_string()]).well();
    for (app, first) in [("myapp", 100), ("yourapp", 102)] {
        let second = first + 1;
        let expected = format!(
            "upstream {app} {{\n\n    server 10.0.1.{first}:80;\n\n    server 10.0.1.{second}:80;\n\n}}\n\nserver {{\n    \
             server_name  {app}.example.com;\n    location / {{\n        proxy_pass        http://{app};\n        \
             proxy_redirect    off;\n        proxy_set_header  Host             $host;\n   }}\n}}\n"
        );
        assert_eq!(confdir.read(&format!("{app}.conf")), Some(expected));
    }
}

#[tokio::test]
async fn values_that_are_json_are_read_and_folders_are_listed() {
    let etcd = EtcdServer::start().await;
    for (key, value) in [
        ("/services/zookeeper/host1", r#"{"Id":"host1", "IP":"192.168.10.11"}"#),
        ("/services/zookeeper/host2", r#"{"Id":"host2", "IP":"192.168.10.12"}"#),
        ("/services/web/cust1/2", r#"{"IP": "10.0.0.2"}"#),
        ("/services/web/cust2/2", r#"{"IP": "10.0.0.4"}"#),
        ("/services/web/cust2/1", r#"{"IP": "10.0.0.3"}"#),
        ("/services/web/cust1/1", r#"{"IP": "10.0.0.1"}"#),
    ] {
        etcd.ctl(&["put", key, value]);
    }
    let confdir = Confdir::new();
    confdir.template(
        "services.conf.tmpl",
        "{{range getvs \"/services/zookeeper/*\"}}\n{{$data := json .}}\n  id: {{$data.Id}}\n  ip: {{$data.IP}}\n{{end}}\n",
    );
    confdir.resource("services.conf", "src = \"services.conf.tmpl\"\nkeys = [\"/services/zookeeper/\"]\n");
    confdir.template(
        "complex.conf.tmpl",
        "{{range $dir := lsdir \"/services/web\"}}\nupstream {{base $dir}} {\n    \
         {{$custdir := printf \"/services/web/%s/*\" $dir}}{{range gets $custdir}}\n    \
         server {{$data := json .Value}}{{$data.IP}}:80;\n    {{end}}\n}\n\nserver {\n    \
         server_name {{base $dir}}.example.com;\n    location / {\n        proxy_pass {{base $dir}};\n    }\n}\n{{end}}\n",
    );
    confdir.resource("complex.conf", "src = \"complex.conf.tmpl\"\nkeys = [\"/services/web\"]\n");
    confdir.run(&["-onetime", "-backend", "etcdv3", "-node", &etcd.address().to_string()]).well();
    assert_eq!(
        confdir.read("services.conf").as_deref(),
        Some("\n\n  id: host1\n  ip: 192.168.10.11\n\n\n  id: host2\n  ip: 192.168.10.12\n\n")
    );
    let part = |name: &str, one: u8, two: u8| {
        format!(
            "\nupstream {name} {{\n    \n    server 10.0.0.{one}:80;\n    \n    server 10.0.0.{two}:80;\n    \n}}\n\nserver {{\n    \
             server_name {name}.example.com;\n    location / {{\n        proxy_pass {name};\n    }}\n}}\n"
        )
    };
    let expected = format!("{}{}\n", part("cust1", 1, 2), part("cust2", 3, 4));
    assert_eq!(confdir.read("complex.conf"), Some(expected));
}

#[test]
fn the_documented_settings_file_is_read() {
    let confdir = Confdir::with_cases();
    let config = confdir.path().join("confd.toml");
    std::fs::write(
        &config,
        "backend = \"env\"\ninterval = 600\nnoop = false\nprefix = \"/production\"\nlog-level = \"debug\"\nscheme = \"http\"\n",
    )
    .unwrap();
    let variables: Vec<_> = crate::fixture::DATA
        .iter()
        .map(|(key, value)| (format!("PRODUCTION{}", key.to_uppercase().replace('/', "_")), *value))
        .collect();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let ended = confdir.run_with(&["-onetime", "-config-file", config.to_str().unwrap()], &variables);
    ended.well();
    assert!(ended.says(&format!("DEBUG Loading {}", config.display())), "{:?}", ended.log);
    confdir.has_cases();
}
