//! TOML → [`Resource`].

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::table::{self, Item, Mistake, Text};
use super::{
    CHECK_DEADLINE, CommandLine, ForEach, Format, Ownership, Place, RELOAD_DEADLINE, Reload, Remark, Resource, Setting,
    Signal, SignalTo, mode,
};

/// The largest file of a resource that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// Every key of the table `[template]`.
pub const KEYS: [&str; 23] = [
    "src",
    "dest",
    "keys",
    "prefix",
    "mode",
    "uid",
    "gid",
    "owner",
    "group",
    "check_cmd",
    "check_cmd_timeout",
    "reload_cmd",
    "reload_cmd_timeout",
    "min_reload_interval",
    "debounce",
    "output_format",
    "mkdir",
    "for_each",
    "min_services",
    "reload_container",
    "reload_pid_file",
    "reload_signal",
    "backend",
];

/// A resource, and what is probably a mistake in its file.
#[derive(Debug, PartialEq, Eq)]
pub struct Read {
    /// The resource.
    pub resource: Resource,
    /// Remarks that do not keep it from being used.
    pub remarks: Vec<Remark>,
}

/// Reads the file of a resource.
///
/// # Errors
/// When it cannot be read, is no TOML, or lacks what a resource needs.
pub fn read(path: &Path) -> Result<Read, Remark> {
    let failed = |reason: String| Remark { path: path.to_owned(), place: None, reason };
    let bytes = bytes(path).map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| failed(format!("it is not UTF-8: byte {}", error.utf8_error().valid_up_to())))?;
    parse(path, &text)
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("it is larger than {} KiB", LARGEST >> 10)));
    }
    Ok(bytes)
}

/// Reads the text of a resource's file; `path` is only named.
///
/// # Errors
/// As for [`read`].
pub fn parse(path: &Path, text: &str) -> Result<Read, Remark> {
    let mut reading = Reading::new(path);
    let resource = reading.document(text).map_err(|mistake| reading.remark(mistake.place, mistake.reason))?;
    Ok(Read { resource, remarks: reading.remarks })
}

/// What was read so far.
struct Reading<'p> {
    path: &'p Path,
    remarks: Vec<Remark>,
    resource: Resource,
    check: (Option<String>, Duration),
    reload: (Option<String>, Duration),
    signal: (Option<SignalTo>, Option<(String, Place)>),
}

impl<'p> Reading<'p> {
    fn new(path: &'p Path) -> Self {
        let resource = Resource {
            path: path.to_owned(),
            src: PathBuf::new(),
            dest: String::new(),
            keys: Vec::new(),
            prefix: None,
            mode: None,
            ownership: Ownership::default(),
            mkdir: false,
            for_each: None,
            min_services: None,
            format: None,
            check: None,
            reload: Reload::default(),
            debounce: Duration::ZERO,
            backend: None,
        };
        Self {
            path,
            remarks: Vec::new(),
            resource,
            check: (None, CHECK_DEADLINE),
            reload: (None, RELOAD_DEADLINE),
            signal: (None, None),
        }
    }

    fn remark(&self, place: Place, reason: String) -> Remark {
        Remark { path: self.path.to_owned(), place: Some(place), reason }
    }

    fn note(&mut self, place: Place, reason: String) {
        let remark = self.remark(place, reason);
        self.remarks.push(remark);
    }

    fn document(&mut self, text: &str) -> Result<Resource, Mistake> {
        let document = table::parse(text)?;
        let text = Text(text);
        let mut template = None;
        for (name, item) in table::items(document.get_ref(), text) {
            match name.as_str() {
                "template" => template = Some(item),
                "backend" => self.resource.backend = Some(backend(&item, text)?),
                _ => self.note(item.place, table::unknown(item.key, ["template", "backend"])),
            }
        }
        let start = Place { line: 1, column: 1 };
        let missing = |what: &str| Mistake { place: start, reason: what.to_owned() };
        // confd says the same where the whole table is missing.
        let Some(template) = template else { return Err(missing("empty src template")) };
        let place = template.place;
        for (name, item) in table::items(template.table()?, text) {
            self.key(&name, &item, text)?;
        }
        self.finish(place)
    }

    fn key(&mut self, name: &str, item: &Item<'_>, text: Text<'_>) -> Result<(), Mistake> {
        let owned = |item: &Item<'_>| item.text().map(str::to_owned);
        let given = |item: &Item<'_>| item.text().map(|text| Some(text.to_owned()).filter(|text| !text.is_empty()));
        let resource = &mut self.resource;
        match name {
            "src" => resource.src = item.text()?.into(),
            "dest" => resource.dest = owned(item)?,
            "keys" => resource.keys = item.texts()?,
            "prefix" => resource.prefix = given(item)?,
            "mode" => return self.mode(item),
            "uid" => resource.ownership.uid = item.id()?,
            "gid" => resource.ownership.gid = item.id()?,
            "owner" => resource.ownership.owner = given(item)?,
            "group" => resource.ownership.group = given(item)?,
            "check_cmd" => self.check.0 = given(item)?,
            "check_cmd_timeout" => self.check.1 = item.duration()?,
            "reload_cmd" => self.reload.0 = given(item)?,
            "reload_cmd_timeout" => self.reload.1 = item.duration()?,
            "min_reload_interval" => resource.reload.min_interval = item.duration()?,
            "debounce" => resource.debounce = item.duration()?,
            "output_format" => return self.format(item),
            "mkdir" => resource.mkdir = item.flag()?,
            "for_each" => resource.for_each = for_each(item)?,
            "min_services" => {
                let number = usize::try_from(item.number()?);
                resource.min_services =
                    Some(number.map_err(|_| item.mistake("min_services takes a number from 0 on".to_owned()))?);
            }
            "reload_container" => self.to(item, SignalTo::Container(owned(item)?))?,
            "reload_pid_file" => self.to(item, SignalTo::Process(item.text()?.into()))?,
            "reload_signal" => self.signal.1 = Some((signal(item)?, item.place)),
            "backend" => resource.backend = Some(backend(item, text)?),
            _ => self.note(item.place, table::unknown(item.key, KEYS)),
        }
        Ok(())
    }

    fn mode(&mut self, item: &Item<'_>) -> Result<(), Mistake> {
        let wrong = || item.mistake("mode takes octal digits in quotes: \"0644\"".to_owned());
        let text = item.text().map_err(|_| wrong())?;
        if text.is_empty() {
            return Ok(());
        }
        let mode = mode::parse(text).ok_or_else(wrong)?;
        self.resource.mode = Some(mode.bits);
        if mode.bare {
            let reason =
                format!("mode \"{text}\" means 0{text} here, where confd reads a decimal number: write \"0{text}\"");
            self.note(item.place, reason);
        }
        Ok(())
    }

    fn format(&mut self, item: &Item<'_>) -> Result<(), Mistake> {
        self.resource.format = match item.text()?.to_lowercase().as_str() {
            "" => None,
            "json" => Some(Format::Json),
            "yaml" | "yml" => Some(Format::Yaml),
            "toml" => Some(Format::Toml),
            "xml" => {
                self.note(item.place, "output_format \"xml\" is not checked here; json, yaml and toml are".to_owned());
                None
            }
            _ => return Err(item.mistake("output_format takes json, yaml or toml".to_owned())),
        };
        Ok(())
    }

    fn to(&mut self, item: &Item<'_>, to: SignalTo) -> Result<(), Mistake> {
        if item.text()?.is_empty() {
            return Ok(());
        }
        match self.signal.0.replace(to) {
            None => Ok(()),
            Some(_) => Err(item.mistake("give reload_container or reload_pid_file, not both".to_owned())),
        }
    }

    /// Combines the keys.
    fn finish(&mut self, place: Place) -> Result<Resource, Mistake> {
        let mistake = |reason: &str| Mistake { place, reason: reason.to_owned() };
        let command = |(text, deadline): (Option<String>, Duration)| text.map(|text| CommandLine { text, deadline });
        let mut resource = self.resource.clone();
        resource.check = command(self.check.clone());
        resource.reload.command = command(self.reload.clone());
        match self.signal.clone() {
            (Some(to), name) => {
                let name = name.map_or_else(|| "HUP".to_owned(), |(name, _)| name);
                resource.reload.signal = Some(Signal { to, name });
            }
            (None, Some((_, place))) => {
                self.note(place, "reload_signal has no effect without reload_container or reload_pid_file".to_owned());
            }
            (None, None) => {}
        }
        if resource.src.as_os_str().is_empty() {
            return Err(mistake("empty src template"));
        }
        if resource.dest.is_empty() {
            return Err(mistake("empty dest: say which file to keep right, dest = \"/etc/…\""));
        }
        match resource.for_each {
            None if resource.dest.ends_with('/') => Err(mistake("dest is a directory; it names a file")),
            Some(_) if !resource.dest.contains("{{") => {
                Err(mistake("with for_each, dest needs the name of what it is for: dest = \"/etc/…/{{.Name}}.conf\""))
            }
            _ => Ok(resource),
        }
    }
}

fn for_each(item: &Item<'_>) -> Result<Option<ForEach>, Mistake> {
    match item.text()? {
        "" => Ok(None),
        "services" => Ok(Some(ForEach::Service)),
        "instances" => Ok(Some(ForEach::Instance)),
        _ => Err(item.mistake("for_each takes \"services\" or \"instances\"".to_owned())),
    }
}

/// The name of a signal, without `SIG`.
fn signal(item: &Item<'_>) -> Result<String, Mistake> {
    let text = item.text()?.to_uppercase();
    let name = text.strip_prefix("SIG").unwrap_or(&text);
    if super::super::command::signal_of(name).is_none() {
        return Err(item.mistake("reload_signal takes the name of a signal: \"HUP\", \"USR1\"".to_owned()));
    }
    Ok(name.to_owned())
}

fn backend(item: &Item<'_>, text: Text<'_>) -> Result<BTreeMap<String, Setting>, Mistake> {
    table::items(item.table()?, text).into_iter().map(|(name, item)| Ok((name, item.setting()?))).collect()
}
