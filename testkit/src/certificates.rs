//! An authority of one test's own, with certificates for servers on this machine and one for a client.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How long certificates are valid, in days.
const VALID: i32 = 2;

/// A certificate and its key, as PEM files.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// PEM files, in the folder that they were made in.
pub struct Certificates {
    /// The authority.
    pub ca: PathBuf,
    /// For a server on `localhost` and 127.0.0.1.
    pub server: Identity,
    /// For a client.
    pub client: Identity,
    folder: PathBuf,
}

impl Certificates {
    /// Makes them with openssl.
    ///
    /// # Panics
    /// When there is no openssl, or it fails.
    #[must_use]
    pub fn make(folder: &Path) -> Self {
        let ca = files(folder, "ca");
        // Each authority has a name of its own, or one is taken for another with a wrong signature.
        let own = folder.file_name().unwrap_or_default().display();
        openssl(
            &format!("req -x509 -days {VALID} -subj /CN=ca{own} {NEW_KEY}"),
            &[("-out", &ca.certificate), ("-keyout", &ca.key)],
            &["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign"],
        );
        let server = signed(folder, "server", "DNS:localhost,IP:127.0.0.1", "serverAuth,clientAuth", VALID);
        let client = signed(folder, "client", "DNS:client", "clientAuth", VALID);
        Self { ca: ca.certificate, server, client, folder: folder.to_owned() }
    }

    /// Another server's: for these names (`DNS:localhost,IP:127.0.0.1`), valid for so many days; one of
    /// -1 days is over since yesterday. `name` tells it from others.
    ///
    /// # Panics
    /// When openssl fails.
    #[must_use]
    pub fn server(&self, name: &str, names: &str, days: i32) -> Identity {
        signed(&self.folder, name, names, "serverAuth", days)
    }
}

/// A new key of the kind that is made fastest, without a passphrase.
const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";

fn files(folder: &Path, name: &str) -> Identity {
    Identity { certificate: folder.join(format!("{name}.pem")), key: folder.join(format!("{name}.key")) }
}

/// A certificate by the authority of this folder.
fn signed(folder: &Path, name: &str, names: &str, usage: &str, days: i32) -> Identity {
    let (ca, own) = (files(folder, "ca"), files(folder, name));
    let (request, extensions) = (folder.join(format!("{name}.csr")), folder.join(format!("{name}.ext")));
    let text = format!("basicConstraints=CA:FALSE\nsubjectAltName={names}\nextendedKeyUsage={usage}\n");
    fs::write(&extensions, text).expect("a file written");
    openssl(&format!("req -new -subj /CN={name} {NEW_KEY}"), &[("-out", &request), ("-keyout", &own.key)], &[]);
    let paths = [
        ("-in", &request),
        ("-extfile", &extensions),
        ("-CA", &ca.certificate),
        ("-CAkey", &ca.key),
        ("-out", &own.certificate),
    ];
    openssl(&format!("x509 -req -days {days} -set_serial {}", serial(name)), &paths, &[]);
    own
}

/// A number for each name: an authority gives each only once.
fn serial(name: &str) -> u64 {
    name.bytes().fold(1, |number: u64, byte| number.wrapping_mul(31).wrapping_add(byte.into())) >> 1
}

fn openssl(words: &str, paths: &[(&str, &PathBuf)], more: &[&str]) {
    let done = Command::new("openssl")
        .args(words.split(' '))
        .args(paths.iter().flat_map(|(option, path)| [(*option).into(), path.as_os_str().to_owned()]))
        .args(more)
        .output()
        .expect("openssl; run dev/install-servers");
    assert!(done.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&done.stderr));
}
