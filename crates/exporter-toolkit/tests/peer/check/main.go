// Judges web configuration files as exporter-toolkit does, in the words of promtool.
package main

import (
	"fmt"
	"os"

	"github.com/prometheus/exporter-toolkit/web"
)

func main() {
	for _, file := range os.Args[1:] {
		if err := web.Validate(file); err != nil {
			fmt.Println(file, "FAILED:", err)
		} else {
			fmt.Println(file, "SUCCESS")
		}
	}
}
