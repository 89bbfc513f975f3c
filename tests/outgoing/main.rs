//! What leaves the exporter, and over which connections.

mod names;
mod roots;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use defender_simulator::Simulator;

/// The configuration of all tenants of `simulator`, whose API is at `api` and whose sign-in host
/// is at `authority`; `http` are further settings, and `poll` those of each tenant.
fn configure(
    simulator: &Simulator,
    folder: &Path,
    [api, authority]: [&str; 2],
    http: &str,
    poll: &str,
) {
    fs::write(folder.join("ca.pem"), simulator.ca_pem()).expect("the folder can be written");
    let mut text = format!("http: {{{http}}}\ntenants:\n");
    for number in 0.. {
        let Some(identity) = simulator.tenant(number) else {
            break;
        };
        write!(
            text,
            "  - name: tenant-{number}\n    tenant_id: {}\n    api_base_url: {api}\n    authority_host: {authority}\n    \
             credential: {{type: client_secret, client_id: {}, client_secret: '{}'}}\n    \
             poll: {{{poll}}}\n    quota: {{per_minute: 2000, per_hour: 100000, use: 50%}}\n",
            identity.tenant_id, identity.client_id, identity.client_secret
        )
        .expect("a string can be written");
    }
    fs::write(folder.join("exporter.yml"), text).expect("the folder can be written");
}
