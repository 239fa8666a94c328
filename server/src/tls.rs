//! TLS from files, taken into use anew when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};
use social_observability::event;
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(2);
/// The largest file that is read.
const FILE_BYTES: u64 = 1 << 20;

/// Why TLS files cannot be used. Names files, never what is in a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {path}: {reason}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        reason: std::io::Error,
    },
    /// The certificate file is none.
    #[error("{path} holds no PEM certificate; expected the chain, leaf first", path = path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The key file is none.
    #[error("{path} holds no PEM private key (PKCS#8, SEC1 or PKCS#1, not encrypted)", path = path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The two do not go together.
    #[error("{cert} and {key} do not go together: {reason}", cert = cert.display(), key = key.display())]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        reason: rustls::Error,
    },
    /// The TLS library refuses to work so.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// Makes aws-lc-rs the process's only provider of cryptography. Doing so again changes nothing.
pub fn install_provider() {
    // An error says that there is one already: ours, since no other is built in.
    let _ = aws_lc_rs::default_provider().install_default();
}

/// TLS of one port.
pub(crate) struct Tls {
    cert: PathBuf,
    key: PathBuf,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
}

/// The certificate in use, which handshakes pick up.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// What the files held: to tell a change without keeping the key.
type Fingerprint = [u8; 32];

impl Tls {
    /// TLS with these files.
    ///
    /// # Errors
    /// When they cannot be used.
    pub(crate) fn open(cert: &Path, key: &Path) -> Result<(Self, Fingerprint), Error> {
        let (certified, fingerprint) = read(cert, key)?;
        let current = Arc::new(Current(ArcSwap::from_pointee(certified)));
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(&current) as _;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok((
            Self {
                cert: cert.to_owned(),
                key: key.to_owned(),
                current,
                acceptor,
            },
            fingerprint,
        ))
    }

    /// What handshakes go through.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// Looks after the files for ever: new ones that can be used are, others leave everything as it was and are logged once. Cancel-safe.
    pub(crate) async fn watch(&self, mut seen: Fingerprint) {
        let mut unreadable = false;
        loop {
            tokio::time::sleep(POLL).await;
            let (cert, key) = (self.cert.clone(), self.key.clone());
            // Files may be on a network: not on the reactor.
            match tokio::task::spawn_blocking(move || fingerprint_of(&cert, &key)).await {
                Ok(Ok(now)) => {
                    unreadable = false;
                    if now != seen {
                        seen = now;
                        self.reload();
                    }
                }
                Ok(Err(error)) if !unreadable => {
                    unreadable = true;
                    event::tls_reload_failed(&error);
                }
                _ => {}
            }
        }
    }

    fn reload(&self) {
        match read(&self.cert, &self.key) {
            Ok((certified, _)) => {
                self.current.0.store(Arc::new(certified));
                event::tls_reloaded();
            }
            Err(error) => event::tls_reload_failed(&error),
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(aws_lc_rs::default_provider()))
}

fn read(cert: &Path, key: &Path) -> Result<(CertifiedKey, Fingerprint), Error> {
    let cert_pem = read_file(cert)?;
    let key_pem = read_file(key)?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&cert_pem)
        .filter_map(Result::ok)
        .collect();
    if chain.is_empty() {
        return Err(Error::NoCertificate { path: cert.to_owned() });
    }
    let private = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|_| Error::NoKey { path: key.to_owned() })?;
    let certified = CertifiedKey::from_der(chain, private, &provider()).map_err(|reason| Error::Mismatch {
        cert: cert.to_owned(),
        key: key.to_owned(),
        reason,
    })?;
    Ok((certified, fingerprint(&cert_pem, &key_pem)))
}

fn fingerprint_of(cert: &Path, key: &Path) -> Result<Fingerprint, Error> {
    Ok(fingerprint(&read_file(cert)?, &read_file(key)?))
}

fn fingerprint(cert: &[u8], key: &[u8]) -> Fingerprint {
    let mut hash = Sha256::new();
    hash.update((cert.len() as u64).to_le_bytes());
    hash.update(cert);
    hash.update(key);
    hash.finalize().into()
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    use std::io::Read as _;
    let unreadable = |reason| Error::Unreadable {
        path: path.to_owned(),
        reason,
    };
    let mut bytes = Zeroizing::new(Vec::new());
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Files {
        folder: tempfile::TempDir,
    }

    impl Files {
        fn new() -> Self {
            install_provider();
            Self {
                folder: tempfile::tempdir().unwrap(),
            }
        }

        fn cert(&self) -> PathBuf {
            self.folder.path().join("cert.pem")
        }

        fn key(&self) -> PathBuf {
            self.folder.path().join("key.pem")
        }

        fn write_pair(&self) {
            let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            std::fs::write(self.cert(), made.cert.pem()).unwrap();
            std::fs::write(self.key(), made.signing_key.serialize_pem()).unwrap();
        }

        fn open(&self) -> Result<(Tls, Fingerprint), Error> {
            Tls::open(&self.cert(), &self.key())
        }
    }

    #[test]
    fn each_bad_file_is_named() {
        let files = Files::new();
        assert!(files.open().err().unwrap().to_string().contains("cert.pem"));
        files.write_pair();
        files.open().unwrap();
        let other = Files::new();
        other.write_pair();
        std::fs::copy(other.key(), files.key()).unwrap();
        assert!(matches!(files.open().err().unwrap(), Error::Mismatch { .. }));
        std::fs::write(files.key(), "no key").unwrap();
        assert!(matches!(files.open().err().unwrap(), Error::NoKey { .. }));
        std::fs::write(files.cert(), "no certificate").unwrap();
        assert!(matches!(files.open().err().unwrap(), Error::NoCertificate { .. }));
    }

    #[test]
    fn a_bad_change_keeps_what_worked() {
        let files = Files::new();
        files.write_pair();
        let (tls, _) = files.open().unwrap();
        let leaf = |tls: &Tls| tls.current.0.load().cert[0].clone();
        let first = leaf(&tls);
        std::fs::write(files.cert(), "half a fi").unwrap();
        tls.reload();
        assert_eq!(leaf(&tls), first);
        files.write_pair();
        tls.reload();
        assert_ne!(leaf(&tls), first);
    }
}
