// Package bench measures speed, cost and quality beside other ways to do the same ("make bench"). docs/performance.md has the figures.
package bench
