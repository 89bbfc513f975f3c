//! What failures mean, and the one thing to do about each: for the log, `check`
//! and whatever else shows them. `docs/troubleshooting.md` says the same, and a
//! test compares.
//!
//! ```text
//! code of the sign-in host ─► SIGN_IN ─┐
//! cause that a library names ─► CAUSES ├─► meaning, what to do
//! class of a failure ─► of_sign_in ────┘
//! ```
//!
//! Codes: Microsoft's list of `AADSTS` error codes.

use crate::model::health::AuthReason;

/// A code of the sign-in host that says what is wrong.
#[derive(Debug)]
pub struct SignInAdvice {
    /// The number after `AADSTS`.
    pub code: u32,
    /// The class that is counted.
    pub reason: AuthReason,
    /// What it means.
    pub meaning: &'static str,
    /// The one thing to do.
    pub advice: &'static str,
}

/// What a library says of a connection.
#[derive(Debug, PartialEq, Eq)]
pub struct Cause {
    /// How its text begins. After a colon and a space at its end, the rest of the text says more.
    pub begins: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// The one thing to do.
    pub advice: &'static str,
}

const FEDERATED: &str = "Add a federated credential to the application, with the Issuer, Subject and Audience that the sign-in host names.";

/// All codes that are known.
pub static SIGN_IN: &[SignInAdvice] = &[
    SignInAdvice {
        code: 7_000_215,
        reason: AuthReason::WrongSecret,
        meaning: "the client secret is wrong; was its id given instead of its value?",
        advice: "Create a new secret and copy its Value, which is shown only once, into the file.",
    },
    SignInAdvice {
        code: 7_000_222,
        reason: AuthReason::ExpiredSecret,
        meaning: "the client secret has expired; create a new one",
        advice: "Create a new secret and write it into the file.",
    },
    SignInAdvice {
        code: 700_016,
        reason: AuthReason::UnknownApplication,
        meaning: "the tenant does not know the application; check client_id and tenant_id",
        advice: "Copy the Application (client) ID from the application's overview page; the Object ID beside it is a different one.",
    },
    SignInAdvice {
        code: 90_002,
        reason: AuthReason::UnknownTenant,
        meaning: "there is no such tenant in this cloud; check tenant_id and the cloud",
        advice: "Copy the Directory (tenant) ID from the application's overview page. For a US Government tenant, set `cloud`.",
    },
    SignInAdvice {
        code: 700_027,
        reason: AuthReason::BadAssertion,
        meaning: "the certificate or its assertion was rejected; was the certificate uploaded to the application?",
        advice: "Upload the certificate, without its key, on the application's Certificates & secrets page.",
    },
    SignInAdvice {
        code: 70_021,
        reason: AuthReason::BadAssertion,
        meaning: "no federated credential of the application matches the assertion",
        advice: FEDERATED,
    },
    SignInAdvice {
        code: 700_211,
        reason: AuthReason::BadAssertion,
        meaning: "no federated credential of the application matches the assertion's issuer",
        advice: FEDERATED,
    },
    SignInAdvice {
        code: 700_212,
        reason: AuthReason::BadAssertion,
        meaning: "no federated credential of the application matches the assertion's audience",
        advice: FEDERATED,
    },
    SignInAdvice {
        code: 700_213,
        reason: AuthReason::BadAssertion,
        meaning: "no federated credential of the application matches the assertion's subject",
        advice: FEDERATED,
    },
    SignInAdvice {
        code: 700_024,
        reason: AuthReason::BadAssertion,
        meaning: "the assertion is not valid at this time; check the clock and the token file",
        advice: "Set the machine's clock; if it is right, find out why the federated token file is not being renewed.",
    },
    SignInAdvice {
        code: 7_000_229,
        reason: AuthReason::MissingServicePrincipal,
        meaning: "the application has no service principal in the tenant; an administrator must consent to it",
        advice: "Have an administrator of the tenant consent to the application.",
    },
    SignInAdvice {
        code: 7_000_112,
        reason: AuthReason::UnknownApplication,
        meaning: "the application is disabled; enable it in the directory",
        advice: "Under Enterprise applications, set `Enabled for users to sign-in?` to Yes.",
    },
    SignInAdvice {
        code: 500_011,
        reason: AuthReason::Other,
        meaning: "the tenant does not know the API; check cloud and scope, and that the tenant has Defender for Endpoint",
        advice: "Remove `scope` from the configuration, unless you know why it is there. If it is not there, the directory has no Defender for Endpoint.",
    },
    SignInAdvice {
        code: 53_003,
        reason: AuthReason::ConditionalAccess,
        meaning: "a Conditional Access policy blocks the application",
        advice: "Exempt the application from that policy, or run the exporter from an address that it allows.",
    },
];

/// All causes of a broken connection that are known.
pub static CAUSES: &[Cause] = &[
    Cause {
        begins: "tunnel error: proxy authorization required",
        meaning: "the proxy requires a user name and password; check http.proxy_url, or HTTPS_PROXY",
        advice: "Write them into the address, percent-encoded: `http://user:p%40ss@proxy:3128`.",
    },
    Cause {
        begins: "tunnel error: failed to create underlying connection",
        meaning: "cannot connect to the proxy; check http.proxy_url, or HTTPS_PROXY",
        advice: "The proxy is down, or has another address. Correct `http.proxy_url` or the variable.",
    },
    // Some proxies answer so to a wrong password.
    Cause {
        begins: "tunnel error: unsuccessful",
        meaning: "the proxy refused to connect to this host; allow the host on the proxy, and check the user name and password in http.proxy_url, or HTTPS_PROXY",
        advice: "Allow the API's host and the sign-in host on the proxy. Some proxies respond to a wrong password this way.",
    },
    Cause {
        begins: "tunnel error: ",
        meaning: "the proxy did not respond as an HTTP proxy does; check http.proxy_url, or HTTPS_PROXY",
        advice: "Set `http.proxy_url` to an HTTP proxy.",
    },
    Cause {
        begins: "no name server answered",
        meaning: "this machine's name servers do not answer; check its DNS",
        advice: "Make sure that this machine can reach a name server, or correct `/etc/resolv.conf`; or set `http.proxy_url` to a proxy, by its IP address.",
    },
    Cause {
        begins: "failed to lookup address information",
        meaning: "the host name cannot be resolved; check its spelling, and this machine's DNS",
        advice: "Correct `api_base_url` or `authority_host` if they are set; otherwise make this machine's DNS resolve the name, or set `http.proxy_url`.",
    },
    Cause {
        begins: "invalid peer certificate: UnknownIssuer",
        meaning: "the host's certificate was issued by an unknown authority; set http.ca_file to a file with its root",
        advice: "A proxy intercepts TLS and signs with its own root. Set `http.ca_file` to a file with that root.",
    },
    Cause {
        begins: "invalid peer certificate: certificate expired",
        meaning: "the host's certificate has expired, according to this machine's clock",
        advice: "Set the machine's clock; if it is right, whoever runs the host or the proxy in between must renew the certificate.",
    },
    Cause {
        begins: "invalid peer certificate: certificate not valid for name",
        meaning: "the host's certificate is for another name; is a proxy in between?",
        advice: "Correct `api_base_url` or `authority_host`, or exclude the host from the proxy that responds in its place.",
    },
    Cause {
        begins: "invalid peer certificate: ",
        meaning: "the host's certificate is not accepted",
        advice: "Whoever runs the host, or the proxy in between, must give it a server certificate.",
    },
];

/// What to do if nothing more is known than that there is no connection.
pub const SIGN_IN_CONNECTION: &str =
    "Allow the exporter to reach the sign-in host on port 443, or set `http.proxy_url`.";
/// The same, to the API's host.
pub const API_CONNECTION: &str =
    "Allow the exporter to reach the API's host on port 443, or set `http.proxy_url`.";

/// A file with a secret is gone.
pub const FILE: &str = "Put it back where the exporter can read it.";
/// A file with a secret does not give one; its error says why.
pub const BROKEN_FILE: &str = "Fix the file, or the file system that it is on.";
/// A certificate does not serve; its error says why.
pub const CERTIFICATE: &str = "Create a new certificate, upload it, and replace the files.";
/// A client secret expires soon.
pub const SECRET: &str =
    "Create a new client secret, write it into the file, and set `expires` to its date.";
/// A client secret works after the end that the configuration gives it.
pub const EXPIRES: &str = "Set `expires` to the date of the secret in use.";
/// What writes a token's file stopped.
pub const TOKEN_FILE: &str = "Restart the program that writes the file.";
/// There is no system-assigned identity.
pub const SYSTEM_IDENTITY: &str =
    "Switch the system-assigned identity on, or set `client_id` to that of a user-assigned one.";
/// The identity is not this machine's.
pub const USER_IDENTITY: &str = "Assign the identity that the configuration names to the machine.";
/// There is no metadata service.
pub const METADATA: &str = "Outside Azure, use `client_certificate`. In Azure, allow the exporter to reach `169.254.169.254`.";
/// The metadata service answers 404.
pub const METADATA_MISSING: &str = "Wait: Azure's metadata service may respond this way for a minute while it is being updated. If this persists, the machine is not in Azure, and another cloud's metadata service is responding: use `client_certificate`.";
/// App Service's metadata service takes no resource id.
pub const RESOURCE_ID: &str = "Replace `resource_id` with `client_id`.";
/// `az` is missing.
pub const NO_AZ: &str = "Install the Azure CLI where the exporter runs.";
/// `azd` is missing.
pub const NO_AZD: &str = "Install the Azure Developer CLI where the exporter runs.";
/// `az` prints something else than a token.
pub const AZ_OUTPUT: &str = "Run `az account get-access-token -o json` as the user that runs the exporter: it must write JSON, and nothing else, to standard output.";
/// `azd` prints something else than a token.
pub const AZD_OUTPUT: &str = "Run `azd auth token -o json` as the user that runs the exporter: it must write JSON, and nothing else, to standard output.";
/// Nobody is signed in with `az`.
pub const AZ_LOGIN: &str = "Run `az login` as that user.";
/// Nobody is signed in with `azd`.
pub const AZD_LOGIN: &str = "Run `azd auth login` as that user.";

/// 403.
pub const FORBIDDEN: &str =
    "Grant the application permission `Machine.Read.All` with an administrator's consent.";
/// 403, although the token has the permission.
pub const PERMITTED: &str = "The token has the permission, so something else is missing: a licence for Microsoft Defender Vulnerability Management, or, for a user, a role in the Defender portal that can view data.";
/// 403, and the token does not have the permission.
pub const NO_PERMISSION: &str = "Grant the application permission `Machine.Read.All` with an administrator's consent; the token does not have it. A new permission can take up to an hour to appear in tokens.";
/// 401 or 403 for want of a licence or feature.
pub const UNLICENSED: &str = "Give the tenant a licence for Microsoft Defender Vulnerability Management, and switch the feature on in the Defender portal.";
/// 429.
pub const THROTTLED: &str =
    "Something else is using up the tenant's calls. Lower `quota.use`, or stop the other program.";
/// 5xx.
pub const SERVER: &str = "Wait. The call is retried, after seconds at first, then after minutes.";
/// No answer in time.
pub const TIMEOUT: &str = "Wait; if this persists, raise `http.timeout`.";
/// 3xx.
pub const REDIRECT: &str = "The API never redirects, so a proxy or a sign-in page is in between. Exclude the API's host from it.";
/// Other 4xx.
pub const CLIENT: &str = "Remove `api_base_url` from the configuration, unless you know why it is there. If it is not there, report this error, without names and ids.";
/// 404 where the configuration names a version.
pub const NO_VERSION: &str = "Correct `api_version`, or remove it for the latest version.";
/// 410.
pub const GONE: &str = "The API no longer exists at this address. Remove `api_version` if it is set; otherwise look for a newer version of the exporter.";
/// The answer is not what the API sends.
pub const DECODE: &str = "A proxy is responding in the API's place, or the API has changed. Ask the proxy's operator; otherwise report this error, without names and ids.";
/// The answer is too large.
pub const TOO_LARGE: &str =
    "No response from the API is that large. Check what is in between, such as a proxy.";
/// All pages together are larger than any list that is believed, or do not end.
pub const TOO_LARGE_LIST: &str = "No list from the API is that long. Look for a proxy that changes responses; if there is none, report this error, without names and ids.";
/// A link leads to another origin.
pub const FOREIGN_PAGE: &str = "Look for a proxy that changes responses; if there is none, report this error. Only the pages of the list before that link are published.";
/// Ids or their number were refused.
pub const IDS: &str = "No action needed: the exporter finds the definition that the API does not know, and quarantines it for a day.";

/// The API lists no definition.
pub const NO_DEFINITIONS: &str =
    "Add an authenticated scan in the Defender portal, under Settings, Device discovery.";
/// The configuration leaves out all definitions.
pub const NONE_PUBLISHED: &str =
    "Correct `definitions` in the configuration: it excludes all of them.";
/// Answers have values that cannot be read.
pub const UNREADABLE_VALUES: &str =
    "Check the scans for missing values; a newer version of the exporter may be able to read them.";
/// Our share of the calls is spent.
pub const BUDGET: &str = "Wait; if this persists, raise `quota.use`, or poll less often.";
/// A check did not come to its end.
pub const UNFINISHED: &str =
    "Set `http.timeout` to `10s` and check again, to see what does not respond.";
/// The state cannot be read.
pub const STATE: &str = "Check `--storage.path`, its owner and the disk.";

/// The code's entry, if it is known.
#[must_use]
pub fn of_code(code: u32) -> Option<&'static SignInAdvice> {
    SIGN_IN.iter().find(|known| known.code == code)
}

/// The entry of what a library said first, if it is known.
#[must_use]
pub fn of_cause(text: &str) -> Option<&'static Cause> {
    CAUSES.iter().find(|known| text.starts_with(known.begins))
}

/// What to do if nothing is known of a failure to sign in but its class.
#[must_use]
pub fn of_sign_in(reason: AuthReason) -> &'static str {
    match reason {
        AuthReason::Refused => {
            "Have the program that writes the token file request a token with the scope for the cloud. With any other credential, remove `scope` and `api_base_url`."
        }
        AuthReason::Timeout => {
            "If this persists, look for a firewall that drops connections to the sign-in host."
        }
        AuthReason::Connect => SIGN_IN_CONNECTION,
        AuthReason::Throttled => SIGN_IN_THROTTLED,
        AuthReason::Server => SERVER,
        _ => {
            let of_class = SIGN_IN.iter().find(|known| known.reason == reason);
            of_class
                .filter(|_| reason != AuthReason::Other)
                .map_or(OTHER, |known| known.advice)
        }
    }
}

/// 429 of whoever gives tokens.
const SIGN_IN_THROTTLED: &str = "Wait: sign-in is retried after the delay that the response asks for. If this persists, find out what else signs in as this application so often.";

/// A failure to sign in that is not known.
const OTHER: &str = "Do what the text says; a code that begins with `AADSTS` is explained at `https://login.microsoftonline.com/error`.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_and_code_has_its_advice() {
        for reason in AuthReason::ALL {
            assert!(of_sign_in(*reason).ends_with('.'), "{reason:?}");
        }
        for known in SIGN_IN {
            assert!(
                std::ptr::eq(of_code(known.code).unwrap(), known),
                "{known:?}"
            );
        }
        assert_eq!(of_sign_in(AuthReason::Other), OTHER);
        assert_eq!(
            of_sign_in(AuthReason::WrongSecret),
            of_code(7_000_215).unwrap().advice
        );
    }

    #[test]
    fn a_cause_is_found_by_its_beginning() {
        for known in CAUSES {
            let found = of_cause(known.begins).unwrap();
            assert!(std::ptr::eq(found, known), "{known:?}");
        }
        assert!(of_cause("connection refused").is_none());
    }
}
