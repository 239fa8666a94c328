use super::*;
use jsonwebtoken::EncodingKey;
use proptest::prelude::*;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

const NOW: Time = Time::from_unix_ms(1_800_000_000_000);
const NOW_S: u64 = NOW.unix_ms() / 1000;
const USER: UserId = UserId(41);
const SESSION: SessionId = SessionId(42);

fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A workshop for forgers who hold everything but, mostly, the key.
struct Forger {
    keys: Keys,
    kid: String,
}

impl Forger {
    fn new() -> Self {
        let keys = Keys::in_memory(NOW);
        let kid = keys.ring().signing(NOW).unwrap().kid.clone();
        Self { keys, kid }
    }

    fn header(&self) -> Value {
        json!({ "alg": "EdDSA", "typ": "at+jwt", "kid": self.kid })
    }

    fn payload() -> Value {
        json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": USER.to_string(), "sid": SESSION.to_string(), "iat": NOW_S, "exp": NOW_S + 600 })
    }

    /// Signed with the real key, whatever it says.
    fn sign(&self, header: &Value, payload: &Value) -> String {
        self.sign_text(&header.to_string(), &payload.to_string())
    }

    fn sign_text(&self, header: &str, payload: &str) -> String {
        let message = format!("{}.{}", b64(header), b64(payload));
        let ring = self.keys.ring();
        let signature = crypto::sign(
            message.as_bytes(),
            &ring.signing(NOW).unwrap().signing,
            Algorithm::EdDSA,
        )
        .unwrap();
        format!("{message}.{signature}")
    }

    fn with_header(&self, field: &str, value: Value) -> String {
        let mut header = self.header();
        header[field] = value;
        self.sign(&header, &Self::payload())
    }

    fn with_payload(&self, field: &str, value: Value) -> String {
        let mut payload = Self::payload();
        payload[field] = value;
        self.sign(&self.header(), &payload)
    }

    fn without(&self, part: &str, field: &str) -> String {
        let (mut header, mut payload) = (self.header(), Self::payload());
        let object = if part == "header" { &mut header } else { &mut payload };
        object.as_object_mut().unwrap().remove(field);
        self.sign(&header, &payload)
    }

    fn genuine(&self) -> String {
        self.keys
            .issue(USER, SESSION, NOW)
            .unwrap()
            .text
            .expose_secret()
            .to_owned()
    }

    /// A genuine token with one of its three parts replaced.
    fn swap(&self, part: usize, with: &str) -> String {
        let genuine = self.genuine();
        let mut parts: Vec<&str> = genuine.split('.').collect();
        parts[part] = with;
        parts.join(".")
    }

    fn public_key(&self) -> Vec<u8> {
        self.keys
            .ring()
            .signing(NOW)
            .unwrap()
            .verifying
            .try_get_as_bytes()
            .unwrap()
            .to_vec()
    }

    fn hmac(&self, alg: &str, algorithm: Algorithm, secret: &[u8]) -> String {
        let mut header = self.header();
        header["alg"] = json!(alg);
        let message = format!("{}.{}", b64(header.to_string()), b64(Self::payload().to_string()));
        let signature = crypto::sign(message.as_bytes(), &EncodingKey::from_secret(secret), algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

#[test]
fn a_genuine_token_is_taken_for_ten_minutes() {
    let forger = Forger::new();
    let token = forger.keys.issue(USER, SESSION, NOW.plus_ms(999)).unwrap();
    assert_eq!(token.expires_at, NOW.plus(limits::ACCESS_TOKEN_TTL));
    let text = token.text.expose_secret();
    assert!(text.len() <= TOKEN_BYTES);
    let claims = forger.keys.verify(text, NOW).unwrap();
    assert_eq!(
        claims,
        Claims {
            user: USER,
            session: SESSION,
            expires_at: token.expires_at
        }
    );
    assert_eq!(
        claims.viewer(),
        Viewer::User {
            id: USER,
            session: SESSION
        }
    );
    let last = Time::from_unix_ms(token.expires_at.unix_ms() - 1);
    assert!(forger.keys.verify(text, last).is_ok());
    assert_eq!(
        forger.keys.verify(text, token.expires_at).unwrap_err().reason,
        Reason::TokenExpired
    );
    assert!(!format!("{token:?}").contains(text));
    // The workshop makes valid ones too, or the forgeries would be refused for the wrong reason.
    assert!(
        forger
            .keys
            .verify(&forger.sign(&forger.header(), &Forger::payload()), NOW)
            .is_ok()
    );
    assert!(
        forger
            .keys
            .verify(&forger.with_payload("nbf", json!(NOW_S + 5)), NOW)
            .is_ok()
    );
    assert!(
        forger
            .keys
            .verify(&forger.with_payload("iat", json!(NOW_S + 5)), NOW)
            .is_ok()
    );
}

#[test]
fn every_forgery_is_refused() {
    let forger = Forger::new();
    let f = &forger;
    let genuine = f.genuine();
    let parts: Vec<&str> = genuine.split('.').collect();
    let none = |alg: &str| {
        format!(
            "{}.{}.",
            b64(json!({ "alg": alg, "typ": "at+jwt", "kid": f.kid }).to_string()),
            parts[1]
        )
    };
    let elsewhere = Keys::in_memory(NOW)
        .issue(USER, SESSION, NOW)
        .unwrap()
        .text
        .expose_secret()
        .to_owned();
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": b64([7; 32]) });
    let stray_bits = {
        let last = genuine.chars().last().unwrap();
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let at = alphabet.find(last).unwrap();
        format!("{}{}", &genuine[..genuine.len() - 1], &alphabet[at + 1..at + 2])
    };
    let public = f.public_key();
    let pem = format!(
        "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
        base64::engine::general_purpose::STANDARD.encode(&public)
    );
    let duplicate_alg = f.sign_text(
        &format!(r#"{{"alg":"none","alg":"EdDSA","typ":"at+jwt","kid":"{}"}}"#, f.kid),
        &Forger::payload().to_string(),
    );
    let duplicate_sub = f.sign_text(
        &f.header().to_string(),
        &Forger::payload()
            .to_string()
            .replacen('{', &format!(r#"{{"sub":"{USER}","#), 1),
    );

    let invalid: Vec<(&str, String)> = vec![
        ("empty", String::new()),
        ("one dot", ".".to_owned()),
        ("two dots", "..".to_owned()),
        ("four parts", format!("{genuine}.x")),
        ("no signature", format!("{}.{}", parts[0], parts[1])),
        ("empty signature", format!("{}.{}.", parts[0], parts[1])),
        ("blank before", format!(" {genuine}")),
        ("blank behind", format!("{genuine} ")),
        ("padded", format!("{genuine}==")),
        ("stray bits in the signature", stray_bits),
        ("not base64", f.swap(0, "{}")),
        ("too long", format!("{genuine}{}", "A".repeat(TOKEN_BYTES))),
        ("alg none", none("none")),
        ("alg None", none("None")),
        ("alg NONE", none("NONE")),
        ("alg empty", none("")),
        ("alg none, signed", f.with_header("alg", json!("none"))),
        (
            "alg HS256 with the public key",
            f.hmac("HS256", Algorithm::HS256, &public),
        ),
        (
            "alg HS512 with the public key",
            f.hmac("HS512", Algorithm::HS512, &public),
        ),
        (
            "alg HS256 with the public PEM",
            f.hmac("HS256", Algorithm::HS256, pem.as_bytes()),
        ),
        (
            "alg HS256 with the kid",
            f.hmac("HS256", Algorithm::HS256, f.kid.as_bytes()),
        ),
        ("alg HS256 with nothing", f.hmac("HS256", Algorithm::HS256, b"")),
        ("alg EdDSA, signed by HMAC", f.hmac("EdDSA", Algorithm::HS256, &public)),
        ("alg RS256", f.with_header("alg", json!("RS256"))),
        ("alg ES256", f.with_header("alg", json!("ES256"))),
        ("alg Ed25519", f.with_header("alg", json!("Ed25519"))),
        ("alg eddsa", f.with_header("alg", json!("eddsa"))),
        ("alg a list", f.with_header("alg", json!(["EdDSA"]))),
        ("alg twice", duplicate_alg),
        ("alg absent", f.without("header", "alg")),
        ("typ JWT", f.with_header("typ", json!("JWT"))),
        ("typ absent", f.without("header", "typ")),
        ("kid unknown", f.with_header("kid", json!("0".repeat(32)))),
        ("kid absent", f.without("header", "kid")),
        ("kid a path", f.with_header("kid", json!("../../dev/null"))),
        ("kid SQL", f.with_header("kid", json!("' OR 1=1 --"))),
        ("kid null", f.with_header("kid", Value::Null)),
        ("jwk", f.with_header("jwk", jwk)),
        ("jku", f.with_header("jku", json!("https://example.org/keys"))),
        ("x5u", f.with_header("x5u", json!("https://example.org/cert"))),
        ("x5c", f.with_header("x5c", json!(["AAAA"]))),
        ("x5t", f.with_header("x5t", json!("AAAA"))),
        ("crit", f.with_header("crit", json!(["exp"]))),
        ("b64 false", f.with_header("b64", json!(false))),
        ("cty JWT", f.with_header("cty", json!("JWT"))),
        ("zip", f.with_header("zip", json!("DEF"))),
        ("another platform's", elsewhere),
        (
            "another user's payload",
            f.swap(
                1,
                &b64(Forger::payload()
                    .to_string()
                    .replace(&USER.to_string(), &UserId(1).to_string())),
            ),
        ),
        ("another header", f.swap(0, &b64(format!("{} ", f.header())))),
        ("a signature of zeros", f.swap(2, &b64([0; 64]))),
        ("a signature too short", f.swap(2, &b64([1; 63]))),
        ("iss another", f.with_payload("iss", json!("evil"))),
        ("iss absent", f.without("payload", "iss")),
        ("aud another", f.with_payload("aud", json!("admin"))),
        ("aud a list", f.with_payload("aud", json!([AUDIENCE, "admin"]))),
        ("aud absent", f.without("payload", "aud")),
        ("sub absent", f.without("payload", "sub")),
        ("sub no id", f.with_payload("sub", json!("admin"))),
        ("sub a number", f.with_payload("sub", json!(41))),
        ("sub twice", duplicate_sub),
        ("sid absent", f.without("payload", "sid")),
        ("sid no id", f.with_payload("sid", json!("*"))),
        ("exp absent", f.without("payload", "exp")),
        ("exp a text", f.with_payload("exp", json!((NOW_S + 600).to_string()))),
        ("exp negative", f.with_payload("exp", json!(-1))),
        ("exp a fraction", f.with_payload("exp", json!(1.8e9))),
        (
            "exp in a hundred years",
            f.with_payload("exp", json!(NOW_S + 3_155_760_000)),
        ),
        ("exp the largest number", f.with_payload("exp", json!(u64::MAX))),
        ("exp a second too late", f.with_payload("exp", json!(NOW_S + 601))),
        ("exp before iat", f.with_payload("exp", json!(NOW_S - 1))),
        ("iat absent", f.without("payload", "iat")),
        ("iat beyond the skew", f.with_payload("iat", json!(NOW_S + 6))),
        ("nbf beyond the skew", f.with_payload("nbf", json!(NOW_S + 6))),
        ("payload a list", f.sign(&f.header(), &json!([]))),
        ("payload null", f.sign(&f.header(), &Value::Null)),
        ("payload no JSON", f.sign_text(&f.header().to_string(), "sub=1")),
        (
            "payload and more",
            f.sign_text(&f.header().to_string(), &format!("{}{{}}", Forger::payload())),
        ),
        (
            "header no JSON",
            f.sign_text("alg=EdDSA", &Forger::payload().to_string()),
        ),
        ("control characters", genuine.replace('.', "\u{0}.")),
    ];
    assert!(invalid.len() >= 40);
    for (name, token) in &invalid {
        let refusal = f.keys.verify(token, NOW).map_err(|error| error.reason);
        assert_eq!(refusal, Err(Reason::TokenInvalid), "{name}");
    }

    let long_ago = json!({ "iat": NOW_S - 600, "exp": NOW_S });
    let mut expired = Forger::payload();
    expired
        .as_object_mut()
        .unwrap()
        .extend(long_ago.as_object().unwrap().clone());
    let refusal = f
        .keys
        .verify(&f.sign(&f.header(), &expired), NOW)
        .map_err(|error| error.reason);
    assert_eq!(refusal, Err(Reason::TokenExpired));
    // An expired token with a wrong signature is no expired token.
    let mut forged = f.sign(&f.header(), &expired);
    forged.replace_range(
        forged.len() - 20..forged.len() - 19,
        if forged.as_bytes()[forged.len() - 20] == b'A' {
            "B"
        } else {
            "A"
        },
    );
    assert_eq!(
        f.keys.verify(&forged, NOW).map_err(|error| error.reason),
        Err(Reason::TokenInvalid)
    );
}

#[test]
fn no_character_of_a_token_is_free() {
    let forger = Forger::new();
    let genuine = forger.genuine();
    for at in 0..genuine.len() {
        let mut bytes = genuine.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let forged = String::from_utf8(bytes).unwrap();
        assert_eq!(
            forger.keys.verify(&forged, NOW).map_err(|error| error.reason),
            Err(Reason::TokenInvalid),
            "at {at}"
        );
    }
}

#[test]
fn refusals_do_not_tell_what_was_sent() {
    let forger = Forger::new();
    let error = forger.keys.verify("canary.canary.canary", NOW).unwrap_err();
    assert!(!format!("{error:?} {error}").contains("canary"));
}

proptest! {
    #[test]
    fn noise_is_refused(token in prop_oneof![".{0,100}", "[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,90}"]) {
        let keys = Keys::in_memory(NOW);
        prop_assert!(keys.verify(&token, NOW).is_err());
    }
}
