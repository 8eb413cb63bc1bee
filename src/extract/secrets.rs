//! Files that look like secrets, by name alone: they are never opened, so that nothing of theirs
//! can reach a record, a log line or a digest.

use crate::metadata::FilePath;

use super::language::file_name;

/// Whole names, lower-case.
const NAMES: &[&str] = &[
    ".env",
    ".netrc",
    "_netrc",
    ".pgpass",
    ".my.cnf",
    ".htpasswd",
    ".npmrc",
    ".pypirc",
    ".dockercfg",
    ".git-credentials",
    ".vault-token",
    ".terraformrc",
    "credentials",
    "credentials.json",
    "credentials.xml",
    "credentials.toml",
    "credentials.yml",
    "credentials.yaml",
    "client_secret.json",
    "service-account.json",
    "secrets.json",
    "secrets.yml",
    "secrets.yaml",
    "secrets.toml",
    "secrets.env",
    "secring.gpg",
    "shadow",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "id_ecdsa_sk",
    "id_ed25519_sk",
    "master.key",
    "kubeconfig",
    "terraform.tfstate",
    "terraform.tfstate.backup",
];

/// Extensions, lower-case.
const EXTENSIONS: &[&str] = &[
    "pem", "key", "p12", "pfx", "p8", "jks", "keystore", "kdb", "kdbx", "ppk", "gpg", "pgp", "asc",
    "ovpn", "agekey", "tfvars",
];

/// Names that only look like secrets: templates without values, and public halves.
const HARMLESS: &[&str] = &["example", "sample", "template", "dist", "pub", "defaults"];

/// Whether the file's name says that it holds a secret. Directories count only where everything
/// below them is secret (`.ssh`, `.gnupg`, `.aws`).
pub(super) fn looks_secret(path: &FilePath) -> bool {
    let name = file_name(path).to_ascii_lowercase();
    let below_secret_directory = path
        .as_str()
        .split('/')
        .rev()
        .skip(1)
        .any(|part| matches!(part, ".ssh" | ".gnupg" | ".aws"));
    if below_secret_directory || NAMES.contains(&name.as_str()) {
        return true;
    }
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    if HARMLESS.contains(&extension) {
        return false;
    }
    // `.env.production`, `prod.env`
    name.starts_with(".env.") || extension == "env" || EXTENSIONS.contains(&extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_by_name() {
        let secret = |path: &str| looks_secret(&FilePath::new(path).unwrap());
        for path in [
            ".env",
            "a/.env.production",
            "prod.env",
            "id_rsa",
            "home/.ssh/config",
            "tls/server.PEM",
            "a.key",
            "config/credentials.json",
            ".aws/credentials",
            "x.tfvars",
        ] {
            assert!(secret(path), "{path}");
        }
        for path in [
            ".env.example",
            "env.py",
            "keys.rs",
            "id_rsa.pub",
            "src/credentials.rs",
            "key/a.c",
            "src/secrets.rs",
            "environment.yml",
            "monkey",
        ] {
            assert!(!secret(path), "{path}");
        }
    }
}
