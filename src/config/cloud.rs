//! Which addresses a cloud and a region imply.
//!
//! Source: "Supported Microsoft Defender APIs" and "Microsoft Defender for
//! Endpoint for US Government customers".

/// One of Microsoft's clouds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cloud {
    Public,
    Gcc,
    GccHigh,
    Dod,
}

/// The regions of the public cloud that have an address of their own.
pub(super) const REGIONS: [&str; 7] = ["us", "eu", "uk", "au", "swa", "ina", "aea"];

/// The names of all clouds, for errors.
pub(super) const CLOUDS: &str = "`public`, `gcc`, `gcc-high` or `dod`";

impl Cloud {
    pub(super) const ALL: [Self; 4] = [Self::Public, Self::Gcc, Self::GccHigh, Self::Dod];

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cloud| cloud.name() == name)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Gcc => "gcc",
            Self::GccHigh => "gcc-high",
            Self::Dod => "dod",
        }
    }

    /// The cloud whose sign-in host is `host`, of those that have one of their own.
    pub(super) fn of_authority(host: Option<&str>) -> Self {
        match host {
            Some("login.microsoftonline.us") => Self::GccHigh,
            _ => Self::Public,
        }
    }

    /// The API's origin, without a slash at the end.
    pub(super) fn api_base_url(self, region: Option<&str>) -> String {
        match (self, region) {
            (Self::Public, None) => "https://api.security.microsoft.com".to_owned(),
            (Self::Public, Some(region)) => {
                format!("https://{region}.api.security.microsoft.com")
            }
            (Self::Gcc, _) => "https://api-gcc.securitycenter.microsoft.us".to_owned(),
            (Self::GccHigh | Self::Dod, _) => {
                "https://api-gov.securitycenter.microsoft.us".to_owned()
            }
        }
    }

    /// The sign-in host's origin.
    pub(super) fn authority_host(self) -> &'static str {
        match self {
            Self::Public | Self::Gcc => "https://login.microsoftonline.com",
            Self::GccHigh | Self::Dod => "https://login.microsoftonline.us",
        }
    }

    /// The token's scope: one for all regions of the public cloud.
    pub(super) fn scope(self) -> String {
        match self {
            Self::Public => "https://api.securitycenter.microsoft.com/.default".to_owned(),
            Self::Gcc | Self::GccHigh | Self::Dod => {
                format!("{}/.default", self.api_base_url(None))
            }
        }
    }
}
