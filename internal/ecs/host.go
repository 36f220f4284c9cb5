package ecs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
)

// Size is what a task of ECS was given, and of which kind of capacity.
type Size struct {
	CPUs     float64 // virtual ones
	Memory   int64   // MiB
	Capacity string  // FARGATE or EC2; on EC2, with its life cycle, spot or on-demand, behind it
}

// TaskSize asks the task's metadata, version 4, at the URI that ECS gives to every
// container. Where the task has no limits of its own, they are 0. On Fargate nobody
// says whether capacity is spot.
func TaskSize(ctx context.Context, uri string) (Size, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, uri+"/task", http.NoBody)
	if err != nil {
		return Size{}, fmt.Errorf("read task metadata: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return Size{}, fmt.Errorf("read task metadata: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return Size{}, fmt.Errorf("read task metadata: %w", err)
	}
	var task struct {
		Limits struct {
			CPU    float64 `json:"CPU"`
			Memory int64   `json:"Memory"`
		} `json:"Limits"`
		LaunchType string `json:"LaunchType"`
	}
	if err := json.Unmarshal(body, &task); err != nil || resp.StatusCode != http.StatusOK {
		return Size{}, fmt.Errorf("read task metadata: %s: %.80q", resp.Status, body)
	}
	size := Size{CPUs: task.Limits.CPU, Memory: task.Limits.Memory, Capacity: task.LaunchType}
	if task.LaunchType == "EC2" {
		size.Capacity = strings.TrimSpace("EC2 " + lifeCycle(ctx))
	}
	return size, nil
}

// lifeCycle is an instance's: spot or on-demand; empty if it cannot be asked.
func lifeCycle(ctx context.Context) string {
	client := imds.New(imds.Options{EnableFallback: aws.FalseTernary, Retryer: aws.NopRetryer{}})
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	out, err := client.GetMetadata(ctx, &imds.GetMetadataInput{Path: "instance-life-cycle"})
	if err != nil {
		return ""
	}
	defer out.Content.Close()
	body, err := io.ReadAll(io.LimitReader(out.Content, 64))
	if err != nil {
		return ""
	}
	return string(body)
}
