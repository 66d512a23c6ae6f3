//go:build linux

package main

import (
	"fmt"
	"strings"
)

// plot draws a row for each mode and rate: a bar for the median of the ratios, a dot for each round, a line at rtpengine and a mark at the target.
func plot(lines []line, p *plan) string {
	const width, left, top, high, gap = 760, 190, 60, 22, 12
	most := 1.1
	for _, l := range lines {
		for _, v := range l.Ratios {
			most = max(most, v)
		}
	}
	x := func(v float64) float64 { return left + v/most*(width-left-90) }
	height := top + len(lines)*(high+gap) + 44
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/><text x="16" y="26" font-size="16">CPU per packet, relative to rtpengine in the same round</text>`+"\n")
	for i, l := range lines {
		y, colour, last := top+i*(high+gap), "#7a9cc6", l.Ratio
		if !l.Counts {
			colour = "#cccccc"
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s, %dk/s</text><rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n",
			left-10, y+16, l.Mode, l.PPS/1000, left, y, x(l.Ratio)-left, high, colour)
		for _, v := range l.Ratios {
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%d" r="3" fill="#1f3a5f"/>`, x(v), y+high/2)
			last = max(last, v)
		}
		for _, t := range ratioBounds {
			if t.mode == l.Mode && t.pps == l.PPS {
				fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#2f7d32" stroke-width="3"/>`, x(t.bound), x(t.bound), y-3, y+high+3)
			}
		}
		fmt.Fprintf(&b, `<text x="%.1f" y="%d">%.2f</text>`+"\n", x(last)+8, y+16, l.Ratio)
	}
	fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#b03030" stroke-dasharray="4 3"/>`+"\n", x(1), x(1), top-12, height-38)
	fmt.Fprintf(&b, `<text x="16" y="%d" fill="#555">bars: median; dots: %d rounds of %v; red: rtpengine; green: target; grey: does not count</text>`+"\n</svg>\n", height-14, p.rounds, p.window)
	return b.String()
}
