use super::*;
use crate::catalog::Node;
use crate::definition::{Definition, Health};
use crate::testing::{definition, reports};

fn catalog() -> Catalog {
    let node = Node {
        id: String::new(),
        name: "n".to_owned(),
        address: "127.0.0.1".parse().unwrap(),
        datacenter: "dc1".to_owned(),
        index: 10,
    };
    let catalog = Catalog::new(node, reports());
    let meta = |pairs: &[(&str, &str)]| {
        Arc::new(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    };
    let web = definition("host:web:80", "Web");
    let attributes = [("eureka_metadata_zone", "eu"), ("a b", "1"), ("eureka_vip", "front"), ("team", "a")];
    catalog.register(Definition { meta: meta(&attributes), ..web.clone() }, 0);
    catalog.register(Definition { id: "host:web:81".into(), health: Health::Starting, ..web.clone() }, 0);
    catalog.register(Definition { id: "host:web:82".into(), health: Health::Unhealthy, ..web }, 0);
    catalog.register(definition("host:db:1", "db"), 0);
    catalog.mark("host:db:1", Some("paused"));
    catalog
}

fn ask(path: &str) -> Option<Value> {
    let spelled = Question::of_path(path)?.answer(&catalog())?;
    serde_json::from_str(&spelled.json()).unwrap()
}

#[test]
fn a_path_is_a_question_with_and_without_a_version() {
    let text = str::to_owned;
    for (path, expected) in [
        ("/eureka/apps", Some(Question::Apps)),
        ("/eureka/apps/", Some(Question::Apps)),
        ("/eureka/v2/apps", Some(Question::Apps)),
        ("/eureka/apps/delta", Some(Question::Delta)),
        ("/eureka/apps/WEB", Some(Question::App(text("WEB")))),
        ("/eureka/apps/WEB/a%3Ab%2Fc", Some(Question::Instance(text("WEB"), text("a:b/c")))),
        ("/eureka/instances/a:b", Some(Question::AnyInstance(text("a:b")))),
        ("/eureka/vips/web", Some(Question::Vip(text("web")))),
        ("/eureka/svips/web", Some(Question::SecureVip(text("web")))),
        ("/eureka/", None),
        ("/eureka", None),
        ("/eureka/apps//", None),
        ("/v1/apps", None),
    ] {
        assert_eq!(Question::of_path(path), expected, "{path}");
    }
}

#[test]
fn all_that_runs_is_a_list_with_a_count_of_each_status() {
    for path in ["/eureka/apps/", "/eureka/apps/delta"] {
        let all = ask(path).unwrap();
        let all = &all["applications"];
        assert_eq!(all["apps__hashcode"], "DOWN_1_OUT_OF_SERVICE_1_STARTING_1_UP_1_");
        let names: Vec<_> = all["application"].as_array().unwrap().iter().map(|app| &app["name"]).collect();
        assert_eq!(names, ["DB", "WEB"]);
        assert_eq!(all["application"][1]["instance"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn one_is_found_by_application_by_id_and_by_vip() {
    let web = ask("/eureka/apps/web/host:web:80").unwrap();
    let web = &web["instance"];
    assert_eq!(*web, ask("/eureka/instances/host:web:80").unwrap()["instance"]);
    assert_eq!(
        (&web["status"], &web["vipAddress"], &web["port"]["@enabled"]),
        (&json!("UP"), &json!("front"), &json!("true"))
    );
    assert_eq!(web["metadata"], json!({"team": "a", "zone": "eu"}));
    assert_eq!(ask("/eureka/apps/Web").unwrap()["application"]["instance"].as_array().unwrap().len(), 3);
    assert_eq!(ask("/eureka/vips/FRONT").unwrap()["applications"]["application"][0]["instance"][0], *web);
    for none in ["/eureka/apps/no", "/eureka/apps/db/host:web:80", "/eureka/instances/no", "/eureka/vips/no"] {
        assert_eq!(ask(none), None, "{none}");
    }
}
