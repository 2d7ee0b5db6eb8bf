//! Certificates that are not trusted, or not there: what no waiting mends.

#[cfg(any(feature = "mysql", feature = "postgres"))]
use std::io::ErrorKind;

use crate::error::Error;

/// The error, if it is one of TLS: a certificate that is not trusted, or a file that is not there.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) fn error(label: &str, error: &sqlx::Error) -> Option<Error> {
    let said = match error {
        sqlx::Error::Tls(error) => error.to_string(),
        // What rustls says of the handshake.
        sqlx::Error::Io(error) if error.kind() == ErrorKind::InvalidData => error.to_string(),
        // On the network there is no other file than those of certificates; a socket that is not
        // there may come yet.
        sqlx::Error::Io(error) if error.kind() == ErrorKind::NotFound && !label.contains("(/") => {
            format!("a certificate or key that the url names is not there ({error})")
        }
        _ => return None,
    };
    Some(self::said(label, &said))
}

/// What to do about an encryption that failed for this reason.
pub(crate) fn said(label: &str, said: &str) -> Error {
    let said: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    Error::config(format!("{label}: the connection cannot be encrypted: {said}; {}", advice(&said)))
}

fn advice(said: &str) -> &'static str {
    const ADVICE: &[(&[&str], &str)] = &[
        (&["Expired", "expired"], "renew the server's certificate, or set this host's clock"),
        (
            &["UnknownIssuer", "issuer", "self-signed", "self signed"],
            "the url is to name the CA that has signed the server's certificate: sslrootcert=… on \
             PostgreSQL, ssl-ca=… on MySQL and MariaDB, ca=… on SQL Server, wallet=… on \
             Oracle",
        ),
        (
            &["NotValidForName", "not valid for", "Hostname", "hostname"],
            "connect by a name that the server's certificate has, or have one made for this name",
        ),
        (&["not there"], "check the paths in the url, as this process sees them"),
    ];
    let fits = |words: &&[&str]| words.iter().any(|word| said.contains(word));
    let found = ADVICE.iter().find(|(words, _)| fits(words));
    found.map_or("check the certificates on both sides", |(_, advice)| advice)
}

#[cfg(all(test, any(feature = "mysql", feature = "postgres")))]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn names_what_failed_and_is_not_retryable() {
        for (said, advice) in [
            ("invalid peer certificate: Expired", "renew"),
            ("invalid peer certificate: UnknownIssuer", "sslrootcert"),
            ("invalid peer certificate: NotValidForName", "by a name"),
            ("received fatal alert: HandshakeFailure", "on both sides"),
        ] {
            let io = io::Error::new(ErrorKind::InvalidData, said);
            let error = error("postgres (db:5432/app)", &sqlx::Error::Io(io)).unwrap();
            assert!(!error.is_retryable());
            let text = error.to_string();
            assert!(text.contains(said) && text.contains(advice), "{text}");
            assert!(text.contains("db:5432") && !text.contains('\n'), "{text}");
        }
    }

    #[test]
    fn what_may_come_yet_is_another_matter() {
        let none = |label, kind| error(label, &sqlx::Error::Io(io::Error::from(kind))).is_none();
        assert!(none("postgres (/run/postgresql:5432/app)", ErrorKind::NotFound));
        assert!(!none("postgres (db:5432/app)", ErrorKind::NotFound));
        assert!(none("postgres (db:5432/app)", ErrorKind::ConnectionRefused));
        assert!(none("postgres (db:5432/app)", ErrorKind::UnexpectedEof));
    }
}

/// A server that does no more than to agree to encryption: `openssl s_server` behind the first bytes
/// of PostgreSQL's protocol.
#[cfg(all(test, feature = "postgres", any(feature = "tls-rustls", feature = "tls-native-tls")))]
#[allow(clippy::unwrap_used, reason = "tests fail by panicking")]
mod handshakes {
    use std::io::{self, Read as _, Write as _};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, Stdio};
    use std::thread;
    use std::time::{Duration, Instant};

    use crate::{Error, Locker};

    struct Server {
        dir: PathBuf,
        port: u16,
        openssl: Child,
    }

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.openssl.kill();
            let _ = self.openssl.wait();
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }

    fn openssl(dir: &Path, args: &str) {
        let output = Command::new("openssl").args(args.split(' ')).current_dir(dir).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn free_port() -> u16 {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    /// With a certificate for this name, which is good or was.
    fn server(name: &str, days: &str) -> Server {
        let dir = std::env::temp_dir().join(format!("dlock-tls-{}", fastrand::u64(..)));
        std::fs::create_dir(&dir).unwrap();
        for ca in ["ca", "other"] {
            openssl(
                &dir,
                &format!(
                    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj \
                     /CN={ca} -keyout {ca}.key -out {ca}.pem"
                ),
            );
        }
        std::fs::write(dir.join("ext"), format!("subjectAltName=DNS:{name}\n")).unwrap();
        openssl(
            &dir,
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server -keyout \
             server.key -out server.csr",
        );
        openssl(
            &dir,
            &format!(
                "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial {days} -extfile \
                 ext -out server.pem"
            ),
        );
        let behind = free_port();
        let openssl = Command::new("openssl")
            .args(["s_server", "-quiet", "-key", "server.key", "-cert", "server.pem", "-accept"])
            .arg(format!("127.0.0.1:{behind}"))
            .current_dir(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for client in listener.incoming() {
                thread::spawn(move || serve(client?, behind));
            }
        });
        Server { dir, port, openssl }
    }

    /// Says yes to an `SSLRequest`, and passes on the rest.
    fn serve(mut client: TcpStream, behind: u16) -> io::Result<()> {
        client.read_exact(&mut [0; 8])?;
        client.write_all(b"S")?;
        let begun = Instant::now();
        let server = loop {
            match TcpStream::connect(("127.0.0.1", behind)) {
                Err(_) if begun.elapsed() < Duration::from_secs(20) => {
                    thread::sleep(Duration::from_millis(20));
                }
                server => break server?,
            }
        };
        let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
        let (mut from, mut to) = (server, client);
        let _ = io::copy(&mut from, &mut to);
        to.shutdown(Shutdown::Both)
    }

    fn refused(server: &Server, ca: &str) -> String {
        let ca = server.dir.join(ca);
        let url = format!(
            "postgres://app:secret@localhost:{}/app?sslmode=verify-full&sslrootcert={}",
            server.port,
            ca.display()
        );
        let error = Locker::connect_blocking(&url).unwrap_err();
        assert!(matches!(error, Error::Config { .. }) && !error.is_retryable(), "{error:?}");
        let text = error.to_string();
        assert!(!text.contains("secret") && !text.contains('\n'), "{text}");
        text
    }

    #[test]
    fn wrong_authority_wrong_name_and_expired_are_told_apart() {
        if Command::new("openssl").arg("version").output().is_err() {
            eprintln!("NOT RUN: openssl is not here");
            return;
        }
        let good = server("localhost", "-days 9");
        let text = refused(&good, "other.pem");
        assert!(text.contains("sslrootcert"), "{text}");
        let text = refused(&good, "missing.pem");
        assert!(text.contains("check the paths"), "{text}");
        let other = server("another.example", "-days 9");
        let text = refused(&other, "ca.pem");
        assert!(text.contains("by a name"), "{text}");
        let old = server("localhost", "-days -1");
        let text = refused(&old, "ca.pem");
        assert!(text.contains("renew"), "{text}");
    }
}
