//! Why there is no answer, in words for those who can do something about it.

use std::error::Error;
use std::io;

use hyper_util::client::legacy;
use rustls::CertificateError as Wrong;

pub type Cause = Box<dyn Error + Send + Sync>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Nobody has taken the request.
    #[error("{}", root(&**.0))]
    Unreachable(#[source] Cause),
    /// Whoever is there does not prove to be who is asked: the request was not sent.
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    /// The request was sent, or perhaps sent.
    #[error("{}", root(&**.0))]
    Midway(#[source] Cause),
}

/// What is wrong with a server's certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    #[error("its certificate is signed by no authority that this machine believes")]
    UnknownAuthority,
    #[error("its certificate is not for `{asked}`, but for {}", names(.certified))]
    OtherName { asked: String, certified: Vec<String> },
    #[error("its certificate has expired")]
    Expired,
    #[error("its certificate is not valid yet")]
    NotYet,
    /// What `openssl req -x509` makes unless told otherwise.
    #[error("its certificate is one of an authority, which signs others and stands for no server")]
    OfAnAuthority,
    #[error("its certificate is not good: {0}")]
    Other(String),
    #[error("it does not speak TLS")]
    NoTls,
}

impl Untrusted {
    /// What to do about it.
    #[must_use]
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::UnknownAuthority => "if you trust the authority, name the file of its certificate, in PEM form, in SSL_CERT_FILE",
            Self::OtherName { .. } => "reach it by a name that its certificate is for, or have one made for this name",
            Self::Expired => "renew it there; if it was, look at this machine's clock",
            Self::NotYet => "look at this machine's clock",
            Self::OfAnAuthority => "give the server a certificate that is signed by it, with `basicConstraints=CA:FALSE`",
            Self::Other(_) => "give the server a certificate for its name from an authority that this machine believes",
            Self::NoTls => "if it speaks plain HTTP there, write http://",
        }
    }

    fn of(error: &rustls::Error) -> Option<Self> {
        let wrong = match error {
            rustls::Error::InvalidCertificate(wrong) => wrong,
            rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => return Some(Self::NoTls),
            _ => return None,
        };
        Some(match wrong {
            Wrong::UnknownIssuer => Self::UnknownAuthority,
            Wrong::NotValidForNameContext { expected, presented } => Self::OtherName { asked: expected.to_str().into_owned(), certified: presented.clone() },
            Wrong::Expired | Wrong::ExpiredContext { .. } => Self::Expired,
            Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => Self::NotYet,
            // it has no name of its own where we can see it
            other if format!("{other:?}").contains("CaUsedAsEndEntity") => Self::OfAnAuthority,
            other => Self::Other(other.to_string()),
        })
    }
}

fn names(certified: &[String]) -> String {
    // webpki writes them as `DnsName("localhost")`
    let plain = |name: &String| name.split('"').nth(1).unwrap_or(name).to_owned();
    match certified {
        [] => "no name at all".to_owned(),
        several => several.iter().map(plain).collect::<Vec<_>>().join(", "),
    }
}

impl From<legacy::Error> for Failed {
    fn from(error: legacy::Error) -> Self {
        let untrusted = within(&error).find_map(|cause| cause.downcast_ref().and_then(Untrusted::of));
        match untrusted {
            Some(untrusted) => Self::Untrusted(untrusted),
            None if error.is_connect() => Self::Unreachable(error.into()),
            None => Self::Midway(error.into()),
        }
    }
}

/// An error and its causes, from the outside in.
fn within<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        // what such a one was made of is not its source
        let made_of = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        made_of.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source())
    })
}

/// The last of an error's causes: those above say only that a request failed.
fn root(error: &(dyn Error + Send + Sync + 'static)) -> String {
    within(error).last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_found_however_deep_it_stands() {
        let of = |wrong| within(&io::Error::other(io::Error::other(rustls::Error::from(wrong)))).find_map(|cause| cause.downcast_ref().and_then(Untrusted::of));
        assert_eq!(of(Wrong::UnknownIssuer), Some(Untrusted::UnknownAuthority));
        assert_eq!(of(Wrong::Expired), Some(Untrusted::Expired));
        assert_eq!(of(Wrong::BadEncoding), Some(Untrusted::Other("BadEncoding".to_owned())));
        assert_eq!(root(&io::Error::other(io::Error::other("the reason"))), "the reason");
    }

    #[test]
    fn names_are_told_as_people_write_them() {
        let other = |certified: &[&str]| Untrusted::OtherName { asked: "a.test".to_owned(), certified: certified.iter().map(|&name| name.to_owned()).collect() }.to_string();
        assert_eq!(other(&["DnsName(\"b.test\")", "c.test"]), "its certificate is not for `a.test`, but for b.test, c.test");
        assert_eq!(other(&[]), "its certificate is not for `a.test`, but for no name at all");
    }
}
