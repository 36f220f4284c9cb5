#!/usr/bin/env bash
# deploy.sh push REGISTRY                       pushes the images that "make image" has built
# deploy.sh up STACK REGISTRY [NAME=VALUE...]   the fleet and its CDN: ecs/vod.yaml, with parameters of yours
# deploy.sh live STACK REGISTRY Encoders=… StreamKey=… [NAME=VALUE...]
#                                               the live origin: ecs/origin.yaml, as STACK-live, at /hls/ of the same CDN
# deploy.sh down STACK                          takes both away; buckets and the recordings' disk remain
#
# REGISTRY is what comes before /worker and /origin, of ECR: $ACCOUNT.dkr.ecr.$REGION.amazonaws.com/afterlive
# Account, region and credentials are those of the AWS CLI. VERSION is the images' tag (git's, by default).
# Without Vpc= and Subnets=, it is the region's default network.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${VERSION:-$(git describe --always --dirty)}

fail() {
	echo "deploy.sh: $*" >&2
	exit 1
}

usage() {
	sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

output() { # of a stack
	aws cloudformation describe-stacks --stack-name "$1" --query "Stacks[0].Outputs[?OutputKey=='$2'].OutputValue" --output text
}

given() { # whether NAME= is among the arguments that follow
	local name=$1
	shift
	for a in "$@"; do [[ $a == "$name="* ]] && return 0; done
	return 1
}

# made tells whether a stack is there, and clears one away whose creation has failed.
made() {
	local status
	status=$(aws cloudformation describe-stacks --stack-name "$1" --query 'Stacks[0].StackStatus' --output text 2>/dev/null) || return 1
	case $status in
	ROLLBACK_COMPLETE | REVIEW_IN_PROGRESS)
		aws cloudformation delete-stack --stack-name "$1"
		aws cloudformation wait stack-delete-complete --stack-name "$1"
		return 1
		;;
	esac
}

resource() { # of a stack: its physical id
	aws cloudformation describe-stack-resource --stack-name "$1" --logical-resource-id "$2" --query StackResourceDetail.PhysicalResourceId --output text
}

network() { # sets vpc and subnets where they are not given
	vpc=$(aws ec2 describe-vpcs --filters Name=is-default,Values=true --query 'Vpcs[0].VpcId' --output text)
	[[ $vpc == vpc-* ]] || fail "there is no default network here: say Vpc=vpc-… and Subnets=subnet-…,subnet-…"
	subnets=$(aws ec2 describe-subnets --filters "Name=vpc-id,Values=$vpc" Name=default-for-az,Values=true --query 'Subnets[].SubnetId' --output text | tr '\t' ',')
	[[ $subnets == subnet-* ]] || fail "$vpc has no default subnets: say Subnets=subnet-…,subnet-…"
}

stack() { # TEMPLATE STACK NAME=VALUE...
	local template=$1 name=$2
	shift 2
	aws cloudformation deploy --template-file "$template" --stack-name "$name" --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset --parameter-overrides "$@"
}

push() {
	local registry=$1 repository
	if [[ $registry == *.dkr.ecr.*.amazonaws.com/* ]]; then
		aws ecr get-login-password | docker login --username AWS --password-stdin "${registry%%/*}"
	fi
	for image in worker origin; do
		repository=${registry#*/}/$image
		if [[ $registry == *.dkr.ecr.*.amazonaws.com/* ]]; then
			aws ecr describe-repositories --repository-names "$repository" >/dev/null 2>&1 ||
				aws ecr create-repository --repository-name "$repository" --image-tag-mutability MUTABLE --image-scanning-configuration scanOnPush=true >/dev/null
		fi
		docker tag "afterlive/$image:$version" "$registry/$image:$version"
		docker push "$registry/$image:$version"
	done
}

up() {
	local name=$1 registry=$2
	shift 2
	local parameters=("Image=$registry/worker:$version" "$@")
	if made "$name"; then
		! given Capacity "$@" || fail "Capacity cannot be changed while the fleet is there: take the stack down, or make another"
	else
		# The name is part of the buckets' names, of at most 63 characters, and regions have up to 14.
		[[ $name =~ ^[a-z][a-z0-9-]{0,23}$ ]] || fail "$name: a stack's name must be lower-case letters, digits and -, at most 24, a letter first: its buckets are named after it"
		# An account that has never used ECS lacks its role; where it is there, this fails.
		aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com >/dev/null 2>&1 || true
		if ! given Vpc "$@"; then
			network
			parameters+=("Vpc=$vpc" "Subnets=$subnets")
		fi
	fi
	stack ecs/vod.yaml "$name" "${parameters[@]}"
	bin/enqueue player --queue "$(output "$name" JobsQueue)" --failed "$(output "$name" FailedQueue)" --recordings "$(output "$name" RecordingsBucket)" --store "$(output "$name" VodBucket)"
	echo "ready. Put a recording into $(output "$name" RecordingsBucket)/recordings/ (as *.flv), and watch it at $(output "$name" Player)"
}

live() {
	local name=$1 registry=$2
	shift 2
	given Encoders "$@" || fail "say who may stream, as Encoders=203.0.113.0/24"
	given StreamKey "$@" || fail "say the publishers' key, as StreamKey=\$(openssl rand -hex 16)"
	local parameters=("Image=$registry/origin:$version" "VodStack=$name") a
	for a in "$@"; do
		case $a in
		StreamKey=*) aws ssm put-parameter --name "/$name-live/stream-key" --type SecureString --overwrite --value "${a#*=}" >/dev/null ;;
		*) parameters+=("$a") ;;
		esac
	done
	if ! made "$name-live"; then
		parameters+=("Ami=$(aws ssm get-parameter --name /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64 --query Parameter.Value --output text)")
		if ! given Vpc "$@"; then
			network
			parameters+=("Vpc=$vpc" "Subnet=${subnets%%,*}")
		fi
	fi
	if ! given CdnPrefixList "$@"; then
		parameters+=("CdnPrefixList=$(aws ec2 describe-managed-prefix-lists --filters Name=prefix-list-name,Values=com.amazonaws.global.cloudfront.origin-facing --query 'PrefixLists[0].PrefixListId' --output text)")
	fi
	stack ecs/origin.yaml "$name-live" "${parameters[@]}"
	for a in RtmpTargets HlsTargets; do # what the instance does when it starts, nobody else tells
		aws elbv2 wait target-in-service --target-group-arn "$(output "$name-live" $a)" || fail "the origin does not answer; its log: aws ssm start-session --target $(resource "$name-live" Instance), /var/log/cloud-init-output.log"
	done
	stack ecs/vod.yaml "$name" "LiveOrigin=$(output "$name-live" LiveOrigin)"
	echo "stream to $(output "$name-live" Rtmp); watch at https://$(output "$name" Cdn)/hls/NAME/index.m3u8"
}

down() {
	local name=$1 hosts instance
	if made "$name-live"; then
		stack ecs/vod.yaml "$name" LiveOrigin=
		instance=$(resource "$name-live" Instance) # a disk that is in use cannot be taken away
		aws ec2 stop-instances --instance-ids "$instance" >/dev/null
		aws ec2 wait instance-stopped --instance-ids "$instance"
		aws cloudformation delete-stack --stack-name "$name-live"
		aws cloudformation wait stack-delete-complete --stack-name "$name-live"
	fi
	if hosts=$(resource "$name" Hosts 2>/dev/null); then # instances are protected, also from this
		aws ecs update-service --cluster "$(resource "$name" Cluster)" --service "$(resource "$name" Fleet)" --desired-count 0 >/dev/null
		aws autoscaling delete-auto-scaling-group --auto-scaling-group-name "$hosts" --force-delete
	fi
	aws cloudformation delete-stack --stack-name "$name"
	aws cloudformation wait stack-delete-complete --stack-name "$name"
	echo "gone. What remains, and how to remove it: docs/deploy.md, Teardown"
}

command=${1:-}
shift || true
case $command in
push) [ $# -eq 1 ] || usage ;;
up | live) [ $# -ge 2 ] || usage ;;
down) [ $# -eq 1 ] || usage ;;
*) usage ;;
esac
"$command" "$@"
