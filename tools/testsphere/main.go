// Command testsphere writes made-up equirectangular video to standard output, as raw
// yuv420p: what make study measures on when it is given no recording.
package main

import (
	"flag"
	"fmt"
	"os"

	"afterlive.alt/internal/testsphere"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "testsphere:", err)
		os.Exit(1)
	}
}

func run() error {
	var s testsphere.Scene
	flag.IntVar(&s.Width, "width", 2048, "pixels; the height is half of it")
	flag.IntVar(&s.Octaves, "octaves", 9, "of detail")
	flag.Float64Var(&s.Grain, "grain", 1, "of the sensor, in steps of 256")
	fps := flag.Int("fps", 25, "frames a second")
	frames := flag.Int("frames", 150, "how many")
	flag.Parse()
	for n := range *frames {
		if _, err := os.Stdout.Write(s.Frame(float64(n) / float64(*fps))); err != nil {
			return err
		}
	}
	return nil
}
