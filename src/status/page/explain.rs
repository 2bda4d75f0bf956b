//! What explains a row: field by field, the rule and the key or option that decided.

use std::fmt::Write as _;

use registrator_web::page::escaped;

use super::super::view::{Container, Decision, Port};

/// The panel below a container's row.
pub(super) fn panel(container: &Container) -> String {
    let mut html = String::from("<div class=\"why\">");
    for hint in &container.hints {
        let _ = write!(html, "<p class=\"note\">{}</p>", escaped(hint));
    }
    for port in container.ports.iter().filter(|port| !port.decisions.is_empty()) {
        html += &decisions(port);
    }
    let _ = writeln!(
        html,
        "<p class=\"id\">container {0} · <a href=\"/v1/containers/{0}\">as JSON</a></p></div>",
        escaped(&container.id)
    );
    html
}

fn decisions(port: &Port) -> String {
    let mut html = format!("<h4>port {}/{}</h4><ul>", port.port, escaped(&port.protocol));
    for Decision { field, value, because } in &port.decisions {
        let _ = write!(
            html,
            "<li><span class=\"idle\">{}</span><code>{}</code><span>{}</span></li>",
            escaped(field),
            escaped(value),
            escaped(because)
        );
    }
    html + "</ul>"
}
