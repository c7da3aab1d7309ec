//! The arrays that every volume test runs against: our target and Debian's tgt.

use super::{served, tgt};
use std::path::Path;

/// One of the arrays, with two disks: an ext4 that holds hello.txt, and an xfs.
pub enum Array {
    Ours(served::Served),
    Tgt(tgt::Tgt),
}

/// A CHAP user with a secret, and the target's own where it must prove itself.
pub struct Accounts<'a> {
    pub user: &'a str,
    pub password: &'a str,
    pub target: Option<(&'a str, &'a str)>,
}

/// Which array a test runs against.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Ours,
    Tgt,
}

impl Array {
    /// An array without authentication.
    pub fn start(kind: Kind, folder: &Path) -> Self {
        match kind {
            Kind::Ours => Self::Ours(served::two_disks(folder, &[])),
            Kind::Tgt => Self::Tgt(tgt::two_disks(folder, None)),
        }
    }

    /// An array that demands CHAP.
    pub fn with_chap(kind: Kind, folder: &Path, accounts: &Accounts<'_>) -> Self {
        match kind {
            Kind::Ours => {
                let secret = folder.join("target-chap");
                std::fs::write(&secret, accounts.password).unwrap();
                let mut more = vec![
                    "--chap-user".to_owned(),
                    accounts.user.to_owned(),
                    "--chap-secret-file".to_owned(),
                ];
                more.push(secret.display().to_string());
                if let Some((user, password)) = accounts.target {
                    let secret = folder.join("target-chap-own");
                    std::fs::write(&secret, password).unwrap();
                    more.extend([
                        "--chap-user-in".to_owned(),
                        user.to_owned(),
                        "--chap-secret-in-file".to_owned(),
                    ]);
                    more.push(secret.display().to_string());
                }
                let more: Vec<&str> = more.iter().map(String::as_str).collect();
                Self::Ours(served::two_disks(folder, &more))
            }
            Kind::Tgt => {
                let chap = tgt::Chap {
                    user: accounts.user.to_owned(),
                    password: accounts.password.to_owned(),
                    outgoing: accounts
                        .target
                        .map(|(user, password)| (user.to_owned(), password.to_owned())),
                };
                Self::Tgt(tgt::two_disks(folder, Some(chap)))
            }
        }
    }

    pub fn portal(&self) -> String {
        match self {
            Self::Ours(array) => array.portal(),
            Self::Tgt(array) => array.portal(),
        }
    }

    pub fn iqn(&self) -> &str {
        match self {
            Self::Ours(array) => &array.iqn,
            Self::Tgt(array) => &array.iqn,
        }
    }

    /// The number of the `index`-th disk's LUN.
    pub fn lun(&self, index: u16) -> u16 {
        match self {
            Self::Ours(_) => index,
            Self::Tgt(_) => index + 1,
        }
    }

    /// The iscsi:// address of the `index`-th disk.
    pub fn url(&self, index: u16) -> String {
        format!("iscsi://{}/{}/{}", self.portal(), self.iqn(), self.lun(index))
    }

    /// The same with a user.
    pub fn url_as(&self, user: &str, index: u16) -> String {
        format!(
            "iscsi://{user}@{}/{}/{}",
            self.portal(),
            self.iqn(),
            self.lun(index)
        )
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        match self {
            Self::Ours(array) => array.kill(),
            Self::Tgt(array) => array.kill(),
        }
    }

    /// The same array again at the same address.
    pub fn start_again(&mut self) {
        match self {
            Self::Ours(array) => array.start_again(),
            Self::Tgt(array) => array.start_again(),
        }
    }
}

/// Makes a test for each array of a function that takes the kind.
#[macro_export]
macro_rules! on_each_array {
    ($($test:ident),+ $(,)?) => {
        mod on_ours { $( #[test] fn $test() { super::$test($crate::node::array::Kind::Ours); } )+ }
        mod on_tgt { $( #[test] fn $test() { super::$test($crate::node::array::Kind::Tgt); } )+ }
    };
}
