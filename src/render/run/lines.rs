//! The command lines of `check_cmd` and `reload_cmd`.

use std::path::Path;

use super::RunError;
use crate::template::FieldsTemplate;

/// `check_cmd`, a template with `{{.src}}` (what was rendered) and `{{.dest}}` (where it will be).
pub(super) fn check(text: &str, src: &Path, dest: &Path) -> Result<String, RunError> {
    fill("check_cmd", text, src, dest)
}

/// `reload_cmd`. In confd it is no template, so that braces in it may be anything, such as a format of Docker's; it is
/// one here if it uses `{{.src}}` or `{{.dest}}`, which are then both the file in its place.
pub(super) fn reload(text: &str, dest: &Path) -> Result<String, RunError> {
    if !uses_fields(text) {
        return Ok(text.to_owned());
    }
    fill("reload_cmd", text, dest, dest)
}

fn uses_fields(text: &str) -> bool {
    text.split("{{").skip(1).any(|action| {
        let action = action.strip_prefix('-').unwrap_or(action).trim_start();
        [".src", ".dest"].iter().any(|field| {
            action
                .strip_prefix(field)
                .is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'))
        })
    })
}

fn fill(key: &str, text: &str, src: &Path, dest: &Path) -> Result<String, RunError> {
    let failed = |error| RunError::CommandTemplate(Box::new(error));
    let (src, dest) = (src.to_string_lossy(), dest.to_string_lossy());
    let template = FieldsTemplate::parse(key, text).map_err(failed)?;
    template.render(&[("src", &*src), ("dest", &*dest)]).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_commands_know_what_was_rendered_and_where_it_goes() {
        let (src, dest) = (Path::new("/etc/.f1"), Path::new("/etc/f"));
        assert_eq!(check("nginx -t -c {{.src}} # {{ .dest }}", src, dest).unwrap(), "nginx -t -c /etc/.f1 # /etc/f");
        assert_eq!(reload("cat {{ .src }} {{- .dest -}}", dest).unwrap(), "cat /etc/f/etc/f");
        assert!(check("x {{.source}", src, dest).unwrap_err().to_string().starts_with("template: check_cmd:1:"));
    }

    #[test]
    fn braces_of_others_stay_in_reload_cmd_as_in_confd() {
        let command = "kill -HUP $(docker inspect -f '{{.State.Pid}}' nginx) {{.srcs}} {{";
        assert_eq!(reload(command, Path::new("/f")).unwrap(), command);
    }
}
