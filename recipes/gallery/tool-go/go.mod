module example.com/probe

go 1.19

require (
	github.com/spf13/pflag v1.0.5
	golang.org/x/sync v0.3.0
)
