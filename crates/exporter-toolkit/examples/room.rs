//! An exporter of one room: TLS, passwords, both text formats and a landing page.
//!
//! `cargo run -p exporter-toolkit --example room -- --web.config.file=web.yml`

use axum::Router;
use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use exporter_toolkit::flags::with_environment;
use exporter_toolkit::{LandingPage, MetricsFlags, MetricsHandler, WebFlags, serve, stop_signal};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// Exporter of the temperature of a room.
#[derive(Parser)]
#[command(version)]
struct Flags {
    #[command(flatten)]
    web: WebFlags<9100>,
    #[command(flatten)]
    metrics: MetricsFlags,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let command = with_environment(Flags::command(), "ROOM_EXPORTER");
    let flags = Flags::from_arg_matches(&command.get_matches())?;

    let mut registry = Registry::default();
    registry.register(
        "room_temperature_celsius",
        "Temperature",
        ConstGauge::new(21.5),
    );
    let readings = Counter::<u64>::default();
    registry.register("room_readings", "Readings of the sensor", readings.clone());
    let metrics = MetricsHandler::open_metrics(move |text| {
        readings.inc();
        encode(text, &registry)
    });

    let path = flags.metrics.telemetry_path.as_str();
    let page = LandingPage::new("Room Exporter")
        .version(env!("CARGO_PKG_VERSION"))
        .link(path, "Metrics", "of one room");
    let metrics = metrics.max_requests(flags.metrics.max_requests).route();
    let router: Router = page.into_router().route(path, metrics);
    Ok(serve(router, &flags.web, stop_signal()).await?)
}
