//! The options that name a volume on the command line: a URL, and what the URL cannot say.

use clap::Args;
use longshore_volume::{Access, FormatPolicy, FsType, IscsiVolume, Source, VolumeSpec};

use crate::app::App;
use crate::chap::{ChapOptions, Purpose};
use crate::exit::{CliError, ExitCode};
use crate::url::IscsiUrl;

/// A LUN and how to log in to its target.
#[derive(Debug, Clone, Args)]
pub(crate) struct VolumeArgs {
    #[arg(value_name = "URL", help = "The LUN: iscsi://[USER@]PORTAL[:PORT]/IQN/LUN")]
    pub(crate) url: IscsiUrl,
    /// Another portal of the same target; may be repeated
    #[arg(long = "portal", value_name = "PORTAL[:PORT]")]
    pub(crate) portals: Vec<longshore_initiator::Portal>,
    /// The network interface or source address to bind to
    #[arg(long, value_name = "NAME")]
    pub(crate) interface: Option<String>,
    /// Log in under this initiator name instead of the node's
    #[arg(long, value_name = "NAME")]
    pub(crate) initiator_name: Option<String>,
    /// Allow no writes
    #[arg(short, long)]
    pub(crate) read_only: bool,
    /// The identity that the LUN must have, as `longshore show` prints it
    #[arg(long, value_name = "WWID")]
    pub(crate) wwid: Option<String>,
    #[command(flatten)]
    pub(crate) chap: ChapOptions,
}

/// What `mount` may say beside the LUN.
#[derive(Debug, Clone, Default)]
pub(crate) struct FileSystemArgs {
    pub(crate) fs_type: Option<FsType>,
    pub(crate) format: FormatPolicy,
    pub(crate) mount_options: Vec<String>,
}

impl VolumeArgs {
    /// What the engine is asked for.
    ///
    /// # Errors
    /// A secret cannot be read, or a field breaks its grammar.
    pub(crate) fn spec(
        &self,
        file_system: FileSystemArgs,
        app: &mut App<'_>,
    ) -> Result<VolumeSpec, CliError> {
        let mut iscsi = IscsiVolume::new(
            self.url.portal.to_string(),
            self.url.iqn.to_string(),
            self.url.lun,
        );
        iscsi.portals = self.portals.iter().map(ToString::to_string).collect();
        iscsi.iscsi_interface = self.interface.clone();
        iscsi.initiator_name = self.initiator_name.clone();
        iscsi.chap = app.chap(&self.chap, self.url.user.as_deref(), Purpose::Session)?;
        let mut spec = VolumeSpec::new(Source::Iscsi(iscsi));
        spec.access = Access::from_read_only(self.read_only);
        spec.wwid = self.wwid.clone();
        spec.fs_type = file_system.fs_type;
        spec.format = file_system.format;
        spec.mount_options = file_system.mount_options;
        spec.validate()
            .map_err(|error| CliError::new(ExitCode::Usage, error.to_string()))?;
        Ok(spec)
    }
}
