package framework

import (
	"flag"
	"strconv"
)

// Parallel lets so many parallel tests run at once, unless -parallel says how many: they wait for
// a control plane most of the time, and Go's default is the number of cores. Call it once
// flags are parsed.
func Parallel(n int) error {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if given {
		return nil
	}
	return flag.Set("test.parallel", strconv.Itoa(n))
}
