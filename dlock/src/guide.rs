//! The guide: a page for each subject. The pages are also in the folder `docs` of the repository.
//!
//! Where a page links to another by a reference, the definition here comes first, and so counts.

#[doc = include_str!("../../docs/bad-input.md")]
pub mod bad_input {}

#[doc = include_str!("../../docs/cli.md")]
pub mod cli {}

#[doc = "[oracle]: crate::guide::oracle\n"]
#[doc = include_str!("../../docs/connections.md")]
pub mod connections {}

#[doc = include_str!("../../docs/leader.md")]
pub mod leader {}

#[doc = include_str!("../../docs/handover.md")]
pub mod handover {}

#[cfg(feature = "serde")]
#[doc = include_str!("../../docs/json.md")]
pub mod json {}

#[doc = include_str!("../../docs/leases.md")]
pub mod leases {}

#[doc = "[connections]: crate::guide::connections"]
#[doc = "[leases]: crate::guide::leases"]
#[doc = "[migrations]: crate::guide::migrations"]
#[doc = "[oracle]: crate::guide::oracle\n"]
#[doc = include_str!("../../docs/limits.md")]
pub mod limits {}

#[doc = include_str!("../../docs/migrations.md")]
pub mod migrations {}

#[doc = "[leases]: crate::guide::leases\n"]
#[doc = include_str!("../../docs/oracle.md")]
pub mod oracle {}

#[doc = include_str!("../../docs/observing.md")]
pub mod observing {}

#[doc = include_str!("../../docs/orm.md")]
pub mod orm {}

#[doc = include_str!("../../docs/python.md")]
pub mod python {}

#[doc = "[leases]: crate::guide::leases\n"]
#[doc = include_str!("../../docs/reliability.md")]
pub mod reliability {}

#[doc = "[connections]: crate::guide::connections\n"]
#[doc = include_str!("../../docs/sqlserver.md")]
pub mod sqlserver {}

#[cfg(feature = "test-util")]
#[doc = include_str!("../../docs/testing.md")]
pub mod testing {}

#[doc = include_str!("../../docs/timeouts.md")]
pub mod timeouts {}
