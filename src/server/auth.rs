//! Who may change things: the bearer of the token (RFC 6750). Only its digest is kept, and digests are
//! compared in constant time.

use std::path::Path;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

use super::problem::Problem;
use crate::error::{Error, ErrorKind, Result};
use crate::text_file;

/// The largest token file, in bytes.
const MAX_TOKEN_BYTES: u64 = 4096;
/// The shortest token: so many characters nobody tries out.
const MIN_TOKEN_CHARS: usize = 16;

/// The digest of the token, where there is one.
#[derive(Clone, Debug)]
pub(super) struct Auth(Option<blake3::Hash>);

impl Auth {
    /// Reads the token, where a file is named.
    ///
    /// # Errors
    /// `InvalidConfig` if others may use the file, or if it holds no token; `Io` if it cannot be read.
    pub(super) fn read(file: Option<&Path>) -> Result<Self> {
        let Some(file) = file else {
            return Ok(Auth(None));
        };
        let name = file.display();
        let text = text_file::read_secret(file, MAX_TOKEN_BYTES).map_err(|cause| {
            let is_open = cause.kind() == std::io::ErrorKind::PermissionDenied;
            let kind = match is_open {
                true => ErrorKind::InvalidConfig,
                false => ErrorKind::Io,
            };
            let error = Error::new(kind, format!("the token file {name} cannot be used"));
            error
                .with_help(format!("it must be yours alone: chmod 600 {name}"))
                .because(cause)
        })?;
        let token = text.trim_end_matches(['\r', '\n']);
        let is_visible = token.bytes().all(|byte| byte.is_ascii_graphic());
        if token.len() < MIN_TOKEN_CHARS || !is_visible {
            let message = format!("the token file {name} holds no token");
            return Err(Error::new(ErrorKind::InvalidConfig, message).with_help(format!(
                "a token is one line of at least {MIN_TOKEN_CHARS} visible ASCII characters, such as \
                 the output of `openssl rand -hex 32`"
            )));
        }
        Ok(Auth(Some(blake3::hash(token.as_bytes()))))
    }

    /// Whether there is a token.
    pub(super) fn has_token(&self) -> bool {
        self.0.is_some()
    }

    /// Refuses whoever does not bear the token.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(token) = self.0 else {
            return Err(Problem::read_only());
        };
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            let detail = "this needs the token, as `Authorization: Bearer TOKEN`";
            return Err(Problem::unauthorized(detail, "Bearer"));
        };
        let borne = value.as_bytes().split_at_checked(7);
        let is_it = borne.is_some_and(|(scheme, borne)| {
            // Digests compare in constant time.
            scheme.eq_ignore_ascii_case(b"Bearer ") && blake3::hash(borne) == token
        });
        match is_it {
            true => Ok(()),
            false => Err(Problem::unauthorized(
                "this is not the token",
                "Bearer error=\"invalid_token\"",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(text: &str, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        (directory, file)
    }

    #[test]
    fn a_file_that_others_may_read_or_that_holds_no_token_is_refused() {
        let (_directory, open) = file("0123456789abcdef\n", 0o644);
        let error = Auth::read(Some(&open)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert!(error.help().unwrap().contains("chmod 600"));
        for text in [
            "",
            "\n",
            "short",
            "0123456789 abcdef",
            "0123456789\nabcdef0",
        ] {
            let (_directory, bad) = file(text, 0o600);
            let error = Auth::read(Some(&bad)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{text:?}");
            assert!(!format!("{error:?}").contains(text) || text.trim().is_empty());
        }
        let (_directory, one) = file("0123456789abcdef", 0o600);
        assert!(Auth::read(Some(&one)).unwrap().has_token());
        let missing = Auth::read(Some(&one.with_extension("no"))).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Io);
    }

    #[test]
    fn only_the_bearer_of_the_token_passes() {
        let (_directory, file) = file("0123456789abcdef\r\n", 0o600);
        let auth = Auth::read(Some(&file)).unwrap();
        let passes = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, value.parse().unwrap());
            }
            auth.check(&headers).is_ok()
        };
        assert!(passes(&["Bearer 0123456789abcdef"]));
        assert!(passes(&["bearer 0123456789abcdef"]));
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcdeg",
            "Basic 0123456789abcdef",
        ] {
            assert!(!passes(&[value]), "{value}");
        }
        assert!(!passes(&[]));
        assert!(
            !passes(&["Bearer 0123456789abcdef", "Bearer x"]),
            "one is meant"
        );
        assert!(Auth(None).check(&HeaderMap::new()).is_err());
    }
}
