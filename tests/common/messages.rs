//! What the exporter says when something is wrong. `docs/troubleshooting.md` has
//! exactly these messages, and each is pinned by a test that makes it say so.
//! `…` stands for what differs.

macro_rules! messages {
    ($($name:ident = $text:literal;)+) => {
        $(pub const $name: &str = $text;)+

        pub const ALL: &[&str] = &[$($text),+];
    };
}

messages! {
    WRONG_SECRET = "AADSTS7000215: the client secret is wrong; was its id given instead of its value? (the sign-in host says: …)";
    EXPIRED_SECRET = "AADSTS7000222: the client secret has expired; create a new one (the sign-in host says: …)";
    SECRET_FILE = "cannot read the client secret in …: No such file or directory (os error 2)";
    HANGING_FILE = "cannot read the client secret in …: no response from its file system within 5 s";
    UNKNOWN_APPLICATION = "AADSTS700016: the tenant does not know the application; check client_id and tenant_id (the sign-in host says: …)";
    UNKNOWN_TENANT = "AADSTS90002: there is no such tenant in this cloud; check tenant_id and the cloud (the sign-in host says: …)";
    UNKNOWN_API = "AADSTS500011: the tenant does not know the API; check cloud and scope, and that the tenant has Defender for Endpoint (the sign-in host says: …)";
    FOREIGN_CERTIFICATE = "AADSTS700027: the certificate or its assertion was rejected; was the certificate uploaded to the application? (the sign-in host says: …)";
    ENDED_CERTIFICATE = "cannot use the client certificate: expected a certificate that is valid now, but found one that expired at … in `…`; create a new one and upload it to the application";
    EARLY_CERTIFICATE = "cannot use the client certificate: expected a certificate that is valid now, but found one that is valid only from … in `…`; check this machine's clock, or use it later";
    OTHER_KEY = "expected the certificate for the key in `…`, but found one for another key in `…`; name a certificate and a key that belong together";
    ENCRYPTED_KEY = "expected a key without a password, but found an encrypted one in `…`; remove the password with `openssl pkey -in a.pem -out key.pem`, and make the file readable by the exporter only";
    PFX = "expected PEM text, but found a PFX (PKCS #12) file in `…`; convert it with `openssl pkcs12 -nodes -in a.pfx -out a.pem`";
    FEDERATED_SUBJECT = "AADSTS700213: no federated credential of the application matches the assertion's subject (the sign-in host says: …)";
    NO_IDENTITY = "the metadata service returned no token (HTTP 400 invalid_request: Identity not found); assign a system-assigned identity to this machine, or name a user-assigned one";
    OTHER_IDENTITY = "the metadata service returned no token (HTTP 400 invalid_request: Identity not found); assign the identity to this machine, or correct its id";
    NO_METADATA = "the metadata service returned no token (HTTP 404…)";
    NO_METADATA_SERVICE = "cannot connect to the metadata service: …; managed identities are for machines and App Services in Azure: use another credential elsewhere";
    RESOURCE_ID = "cannot sign in: User-assigned resource IDs aren't supported for App Service. Use a client or object ID instead.";
    NO_AZ = "expected `az` on the PATH of the exporter, but found none; install it, or use another credential";
    AZ_LOGIN = "nobody is signed in with `az`; run `az login` as the user that runs the exporter (…)";
    AZ_OUTPUT = "the response from `az` cannot be read: …";
    AZ_REFUSES = "`az` returned no token (…)";
    NO_AZD = "expected `azd` on the PATH of the exporter, but found none; install it, or use another credential";
    AZD_LOGIN = "nobody is signed in with `azd`; run `azd auth login` as the user that runs the exporter (…)";
    AZD_OUTPUT = "the response from `azd` cannot be read: …";
    AZD_REFUSES = "`azd` returned no token (…)";
    SLOW_AZ = "`az` did not answer in time";
    STALE_TOKEN = "the token in … expired at …; is the program that renews it still running?";
    REFUSED_TOKEN = "the API refused a token that was just obtained; expected one for this API, check scope and api_base_url";
    SILENT_SIGN_IN = "the sign-in host did not answer in time";
    SIGN_IN_REFUSED = "the sign-in host returned no token (HTTP …)";
    NAME_NOT_KNOWN = "cannot connect to the sign-in host: …the host name cannot be resolved; check its spelling, and this machine's DNS";
    NO_NAME_SERVER = "cannot connect to the sign-in host: …this machine's name servers do not answer; check its DNS";
    NO_SIGN_IN_HOST = "cannot connect to the sign-in host: …";
    UNKNOWN_ROOT = "cannot connect to the sign-in host: …the host's certificate was issued by an unknown authority; set http.ca_file to a file with its root";
    PROXY_PASSWORD = "cannot connect to the sign-in host: …the proxy requires a user name and password; check http.proxy_url, or HTTPS_PROXY";
    PROXY_DOWN = "cannot connect to the sign-in host: …cannot connect to the proxy; check http.proxy_url, or HTTPS_PROXY…";
    PROXY_REFUSES = "cannot connect to the sign-in host: …the proxy refused to connect to this host; allow the host on the proxy, and check the user name and password in http.proxy_url, or HTTPS_PROXY";
    TOO_MANY_IDS = "learned the largest batch size that the API accepts";
    BAD_ID = "the request or one of its ids was refused: HTTP 404 ResourceNotFound: …";
    NO_DETAILS = "the details of sessions cannot be fetched";
    FORBIDDEN = "access is forbidden; expected the permission Machine.Read.All and a licence for vulnerability management: HTTP 403 Forbidden: …";
    UNLICENSED = "the tenant lacks the feature or its licence; expected a licence for vulnerability management: HTTP …";
    THROTTLED = "the service is throttling requests: HTTP 429 TooManyRequests: …";
    SERVICE_FAILED = "the service failed: HTTP 503…";
    REDIRECT = "the request was refused: HTTP 302";
    TIMEOUT = "no response within the time limit";
    BROKEN = "the connection failed: …";
    UNREADABLE = "the response cannot be read: …";
    LEFT_OUT = "records in a response cannot be read and are ignored";
    UNRELATED = "records about ids that were not requested are ignored";
    TOO_LARGE = "the response is larger than 67108864 bytes";
    FOREIGN_PAGE = "the link to the next page …; it was not followed";
    NO_VERSION = "expected a list in version … of the API, as set by api_version, but found none: HTTP 404…";
    GONE = "the request was refused: HTTP 410…";
    ENDLESS = "the links to next pages never end; the pages fetched so far are used, and no known record is removed";
    CUT = "the response was truncated without a link to the next page, and $skip returned nothing more; …";
    CONTINUED = "the response was truncated without a link to the next page; the rest was fetched with $skip";
}

/// Whether `pattern` is somewhere in `text`.
pub fn is_in(pattern: &str, text: &str) -> bool {
    let quoted = regex::escape(pattern).replace('…', ".*");
    let pattern = regex::Regex::new(&quoted).expect("an escaped text is a pattern");
    pattern.is_match(text)
}
