//! A real nginx before the simulator, whose connections can die.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::web::Authority;
use super::{Process, eventually, free_port, process, tools};

/// A real nginx that ends TLS before the simulator.
pub struct Nginx {
    process: Process,
    port: u16,
    pub authority: Authority,
}

impl Nginx {
    /// Starts one before `target`.
    pub async fn start(target: &str, http2: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let authority = Authority::new();
        let issued = authority.issue(&["localhost"]);
        let port = free_port();
        let http2 = if http2 { " http2" } else { "" };
        let text = format!(
            "daemon off; user root; worker_processes 1; pid nginx.pid; error_log stderr;\n\
             events {{}}\n\
             http {{\n\
               access_log off; keepalive_requests 100000; client_body_temp_path body; proxy_temp_path proxy;\n\
               fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
               server {{\n\
                 listen 127.0.0.1:{port} ssl{http2};\n\
                 ssl_certificate leaf.pem; ssl_certificate_key key.pem;\n\
                 location / {{ proxy_pass {target}; proxy_set_header Host $http_host; proxy_ssl_server_name on; }}\n\
               }}\n\
             }}\n"
        );
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("the folder can be written");
        };
        write("nginx.conf", &text);
        write("leaf.pem", &issued.certificate);
        write("key.pem", &issued.key);
        let mut command = Command::new(tools::find("nginx").expect("nginx is installed"));
        command
            .arg("-p")
            .arg(folder.path())
            .args(["-c", "nginx.conf", "-e", "stderr"]);
        let process = Process::start(folder, &mut command);
        eventually("nginx listens", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .ok()
        })
        .await;
        Self {
            process,
            port,
            authority,
        }
    }

    pub fn origin(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    fn workers(&self) -> Vec<String> {
        let master = self.process.id();
        let children = Path::new("/proc").join(format!("{master}/task/{master}/children"));
        let children = fs::read_to_string(children).unwrap_or_default();
        children.split_whitespace().map(str::to_owned).collect()
    }

    /// Every connection dies, open as it is: its bytes are acknowledged, and nothing comes back.
    /// New ones work.
    pub async fn die(&self) {
        let dead = self.workers();
        self.stall();
        self.reload();
        eventually("there is another worker", async || {
            let workers = self.workers();
            workers
                .iter()
                .any(|worker| !dead.contains(worker))
                .then_some(())
        })
        .await;
    }

    /// Nothing comes back on any connection, be it old or new, until it goes on.
    pub fn stall(&self) {
        self.signal_workers("STOP");
    }

    /// What stalled goes on, and what died ends.
    pub fn go_on(&self) {
        self.signal_workers("CONT");
    }

    /// Another worker takes over; over HTTP/2 the old one says GOAWAY.
    pub fn reload(&self) {
        self.process.signal("HUP");
    }

    fn signal_workers(&self, name: &str) {
        for worker in self.workers() {
            // It may have ended meanwhile.
            process::kill(name, &worker);
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Else it would start others.
        self.process.signal("STOP");
        self.signal_workers("KILL");
    }
}
