// Package e2e tests the built programs, documents and packages: with nginx, ffmpeg, Chromium, an SQS and an S3 that others wrote. Begin with
// folder_test.go, which follows one recording through a folder; e2e_test.go builds the programs and starts them.
package e2e
