// An exporter as most are: the tests compare what ours does with what this one does.
package main

import (
	"log/slog"
	"net/http"
	"os"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"
)

func main() {
	flags := kingpinflag.AddFlags(kingpin.CommandLine, ":9100")
	kingpin.Parse()
	registry := prometheus.NewRegistry()
	temperature := prometheus.NewGauge(prometheus.GaugeOpts{Name: "room_temperature_celsius", Help: "Temperature of the room."})
	temperature.Set(21.5)
	readings := prometheus.NewCounter(prometheus.CounterOpts{Name: "room_readings_total", Help: "Readings of the sensor."})
	registry.MustRegister(temperature, readings)
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: 40}))
	page, err := web.NewLandingPage(web.LandingConfig{
		Name: "Room Exporter", Version: "1.0", Links: []web.LandingLinks{{Address: "/metrics", Text: "Metrics"}},
	})
	if err != nil {
		panic(err)
	}
	http.Handle("/", page)
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := web.ListenAndServe(&http.Server{}, flags, logger); err != nil {
		logger.Error("cannot serve", "err", err)
		os.Exit(1)
	}
}
