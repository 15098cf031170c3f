// probe asks several URLs at once, and says which answer.
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
)

const version = "1.0.0"

func main() {
	timeout := pflag.Duration("timeout", 5*time.Second, "how long to wait for an answer")
	show := pflag.Bool("version", false, "print the version")
	pflag.Parse()
	if *show {
		fmt.Println("probe", version)
		return
	}
	client := http.Client{Timeout: *timeout}
	var group errgroup.Group
	for _, url := range pflag.Args() {
		url := url
		group.Go(func() error {
			answer, err := client.Get(url)
			if err != nil {
				return err
			}
			defer answer.Body.Close()
			fmt.Println(url, answer.Status)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}
