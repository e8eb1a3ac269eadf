// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package svg

import "fmt"

// seriesColors are readable on a light and on a dark background.
var seriesColors = []string{"#3b82d6", "#e8770f", "#2fa24f", "#d9434e", "#9561d3", "#12969e", "#d1569d", "#a3743a", "#8b9619", "#7a838d"}

// SeriesClass returns the class of the nth line of a chart. Lines after the first ten are dashed.
func SeriesClass(n int) string {
	class := fmt.Sprintf("series s%d", n%len(seriesColors))
	if n/len(seriesColors)%2 == 1 {
		class += " dashed"
	}
	return class
}

// style is the style sheet of all pictures. The rules for dark backgrounds come last.
var style = `
text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#1f2328}
.mono{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre}
.title{font-size:16px;font-weight:600}.heading{font-size:14px;font-weight:600}.bold{font-weight:600}
.small{font-size:11px}.huge{font-size:26px;font-weight:600}.large{font-size:17px;font-weight:600}
.end{text-anchor:end}.middle{text-anchor:middle}
.muted{fill:#59636e}.page{fill:#fff;stroke:#d1d9e0}.panel{fill:#f6f8fa;stroke:#d1d9e0}
.grid{stroke:#d1d9e0;fill:none}.spread{stroke:#1f2328;stroke-width:1.5;fill:none}
.bar{fill:#6e7781}.accent{fill:#2f74c8}.inverse{fill:#fff}
.prompt{fill:#1a7f37}.comment{fill:#59636e;font-style:italic}
.good{fill:#1a7f37}.warning{fill:#b35900}.bad{fill:#cf222e}
.series{fill:none;stroke-width:1.5;stroke-linejoin:round}.dashed{stroke-dasharray:5 3}
` + seriesStyle() + `
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.inverse{fill:#fff}.muted,.comment{fill:#9198a1}.page{fill:#0d1117;stroke:#3d444d}.panel{fill:#151b23;stroke:#3d444d}
.grid{stroke:#3d444d}.spread{stroke:#e6edf3}
.prompt,.good{fill:#3fb950}.warning{fill:#e3912d}.bad{fill:#f85149}
}
`

func seriesStyle() string {
	rules := ""
	for i, color := range seriesColors {
		rules += fmt.Sprintf(".s%d{stroke:%s}.f%d{fill:%s}", i, color, i, color)
	}
	return rules
}

// MarkClass returns the class of the mark in a legend for the nth line of a chart.
func MarkClass(n int) string { return fmt.Sprintf("f%d", n%len(seriesColors)) }
