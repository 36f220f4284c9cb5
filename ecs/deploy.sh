#!/usr/bin/env bash
# deploy.sh push REGISTRY                       pushes the images that "make image" has built
# deploy.sh up STACK REGISTRY [NAME=VALUE...]   the fleet and its CDN: ecs/vod.yaml, with parameters of yours
# deploy.sh key STACK                           sets the publishers' key of the live origin, from standard input
# deploy.sh live STACK REGISTRY Encoders=203.0.113.0/24 [NAME=VALUE...]
#                                               the live origin: ecs/origin.yaml, as STACK-live, at /hls/ of the same CDN
# deploy.sh pages STACK REGISTRY PagesCertificate=arn:aws:acm:… [NAME=VALUE...]
#                                               web pages, HTTP API and webhooks: ecs/pages.yaml, as STACK-pages
# deploy.sh down STACK                          removes all; buckets and the recordings' disk remain
#
# REGISTRY is what comes before /worker and /origin, of ECR: $ACCOUNT.dkr.ecr.$REGION.amazonaws.com/afterlive
# Account, region and credentials are those of the AWS CLI. VERSION is the images' tag (git's, by default).
# Without Vpc= and Subnets= (live: Subnet=), it is the region's default network, where its zones have what is needed.
# A later "up" or "live" brings a newer version; parameters that it does not name stay as they are.
set -euo pipefail
cd "$(dirname "$0")/.."
version=${VERSION:-$(git describe --always --dirty)}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

. ecs/stack.sh

fail() {
	echo "deploy.sh: $*" >&2
	exit 1
}

usage() {
	sed -n '2,16s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

given() { # whether NAME= is among the arguments that follow
	local name=$1
	shift
	for a in "$@"; do [[ $a == "$name="* ]] && return 0; done
	return 1
}

value() { # of NAME= among the arguments that follow the default
	local name=$1 found=$2
	shift 2
	for a in "$@"; do [[ $a == "$name="* ]] && found=${a#*=}; done
	echo "$found"
}

# account refuses to begin without credentials and region, and sets region.
account() {
	aws sts get-caller-identity --query Account --output text >/dev/null || fail "the AWS CLI has no credentials that work: aws configure, or aws sso login"
	region=${AWS_REGION:-${AWS_DEFAULT_REGION:-$(aws configure get region || true)}}
	[ -n "$region" ] || fail "in which region? Set AWS_REGION"
	export AWS_REGION=$region AWS_DEFAULT_REGION=$region # the CLI's version 1 knows only the second
}

# fargate are the ids of the zones of a region that have Fargate, where not all do; from ECS's manual, "Supported Regions".
fargate() {
	case $1 in
	us-west-1) echo usw1-az1 usw1-az3 ;;
	ap-northeast-1) echo apne1-az1 apne1-az2 apne1-az4 ;;
	esac
}

# network sets vpc, and subnets (separated by commas): those of the default network whose zone's name or id is among the arguments,
# if there are any.
network() {
	local zone id subnet
	vpc=$(aws ec2 describe-vpcs --filters Name=is-default,Values=true --query 'Vpcs[0].VpcId' --output text)
	[[ $vpc == vpc-* ]] || fail "there is no default network here: say Vpc=vpc-… and Subnets=subnet-…,subnet-… (live: Subnet=subnet-…)"
	subnets=
	while read -r subnet zone id; do
		[[ $subnet == subnet-* ]] || continue
		[[ $# -eq 0 || " $* " == *" $zone "* || " $* " == *" $id "* ]] && subnets+=${subnets:+,}$subnet
	done < <(aws ec2 describe-subnets --filters "Name=vpc-id,Values=$vpc" Name=default-for-az,Values=true --query 'Subnets[].[SubnetId,AvailabilityZone,AvailabilityZoneId]' --output text)
	[ -n "$subnets" ] || fail "$vpc has no default subnet${*:+ in $*}: say Vpc=vpc-… and Subnets=subnet-…,subnet-… (live: Subnet=subnet-…)"
}

# image is an image of a registry by its digest, so that what runs is what was looked at: of ECR. Others are taken by their tag.
image() { # REGISTRY NAME
	local digest
	if [[ $1 != *.dkr.ecr.*.amazonaws.com/* ]]; then
		echo "$1/$2:$version"
		return
	fi
	digest=$(aws ecr describe-images --repository-name "${1#*/}/$2" --image-ids "imageTag=$version" --query 'imageDetails[0].imageDigest' --output text) ||
		fail "there is no $1/$2:$version: make push, or VERSION=… of one that was pushed"
	echo "$1/$2@$digest"
}

# proved starts a task of the newest version, if none runs, and tells whether it runs for a minute. A fleet at zero would take any
# image. Scaling must not end the task meanwhile.
proved() {
	local cluster fleet newest definition running state steady=0
	cluster=$(resource "$1" Cluster) && fleet=$(resource "$1" Fleet) && newest=$(resource "$1" Worker) || fail "cannot look at $1"
	echo "starting a task, to see whether the image works (up to ten minutes)"
	scaling "$cluster" "$fleet" true || fail "scaling cannot be suspended while the image is tried: run this again"
	trap "scaling '$cluster' '$fleet' false; rm -rf '$scratch'" EXIT
	if [[ $(aws ecs describe-services --cluster "$cluster" --services "$fleet" --query 'services[0].desiredCount' --output text) == 0 ]]; then
		aws ecs update-service --cluster "$cluster" --service "$fleet" --desired-count 1 >/dev/null
	fi
	for _ in $(seq 40); do
		sleep "${PAUSE:-15}"
		read -r definition running state < <(aws ecs describe-services --cluster "$cluster" --services "$fleet" \
			--query "services[0].deployments[?status=='PRIMARY'].[taskDefinition,runningCount,rolloutState]" --output text)
		[[ $state != FAILED ]] || break
		[[ $definition == "$newest" && $running -ge 1 ]] && steady=$((steady + 1)) || steady=0
		[[ $steady -lt 4 ]] || break
	done
	scaling "$cluster" "$fleet" false || fail "scaling is suspended, and must not stay so: run this again" # and the trap tries it once more
	trap 'rm -rf "$scratch"' EXIT
	[[ $steady -ge 4 ]]
}

scaling() { # CLUSTER SERVICE: suspended or not
	aws application-autoscaling register-scalable-target --service-namespace ecs --scalable-dimension ecs:service:DesiredCount \
		--resource-id "service/$1/${2##*/}" --suspended-state "DynamicScalingInSuspended=$3" >/dev/null
}

push() {
	local registry=$1 repository
	if [[ $registry == *.dkr.ecr.*.amazonaws.com/* ]]; then
		aws ecr get-login-password | docker login --username AWS --password-stdin "${registry%%/*}"
	fi
	for image in worker origin; do
		repository=${registry#*/}/$image
		if [[ $registry == *.dkr.ecr.*.amazonaws.com/* ]] && ! aws ecr describe-repositories --repository-names "$repository" >/dev/null 2>&1; then
			aws ecr create-repository --repository-name "$repository" --image-tag-mutability MUTABLE --image-scanning-configuration scanOnPush=true >/dev/null
			aws ecr put-lifecycle-policy --repository-name "$repository" --lifecycle-policy-text \
				'{"rules": [{"rulePriority": 1, "description": "images without a tag", "selection": {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 90}, "action": {"type": "expire"}}]}' >/dev/null
		fi
		docker tag "afterlive/$image:$version" "$registry/$image:$version"
		docker push "$registry/$image:$version"
	done
}

up() {
	local name=$1 registry=$2 before= there=
	shift 2
	account
	local parameters=("$@")
	! given CdnName "$@" || given Certificate "$@" || fail "CdnName needs Certificate=arn:aws:acm:us-east-1:…"
	if made "$name"; then
		there=yes
		! given Capacity "$@" || fail "Capacity cannot be changed while the fleet is there: remove the stack, or make another"
		before=$(parameter "$name" Image)
	else
		# The name is part of the buckets' names, of at most 63 characters, and regions have up to 14.
		[[ $name =~ ^[a-z][a-z0-9-]{0,23}$ ]] || fail "$name: a stack's name must be lower-case letters, digits and -, at most 24, a letter first: its buckets are named after it"
		# An account that has never used ECS lacks its role; where it is there, this fails.
		aws iam create-service-linked-role --aws-service-name ecs.amazonaws.com >/dev/null 2>&1 || true
		if ! given Vpc "$@"; then
			# shellcheck disable=SC2046 # several
			network $([[ $(value Capacity FARGATE_SPOT "$@") != FARGATE_SPOT ]] || fargate "$region")
			parameters+=("Vpc=$vpc" "Subnets=$subnets")
		fi
	fi
	given Image "$@" || parameters+=("Image=$(image "$registry" worker)")
	stack ecs/vod.yaml "$name" "${parameters[@]}"
	if ! proved "$name"; then
		[[ -z $there || $before == "$(parameter "$name" Image)" ]] || stack ecs/vod.yaml "$name" "Image=$before"
		fail "no task of this image stays${there:+; the image of before is back}. The log group of $name, and aws ecs describe-services --cluster $(resource "$name" Cluster) --services $(resource "$name" Fleet), say why"
	fi
	bin/enqueue player --queue "$(output "$name" JobsQueue)" --failed "$(output "$name" FailedQueue)" --recordings "$(output "$name" RecordingsBucket)" --store "$(output "$name" VodBucket)"
	if given Operator "$@"; then echo "AWS mails to $(value Operator '' "$@"): confirm that, or no alarm arrives"; fi
	if given CdnName "$@"; then echo "let $(value CdnName '' "$@") point at $(output "$name" CdnTarget) (CNAME)"; fi
	if [[ $(parameter "$name" Trigger) == SENDER ]]; then
		echo "ready. What the live origin records, and what enqueue send sends, is at $(output "$name" Player)"
	else
		echo "ready. Put a recording into $(output "$name" RecordingsBucket)/recordings/ (as *.flv), and watch it at $(output "$name" Player)"
	fi
}

key() {
	local secret
	account
	[ ! -t 0 ] || echo "the publishers' key, 16 or more of A-Z, a-z, 0-9, _ and -:" >&2
	read -r secret || true
	[[ $secret =~ ^[A-Za-z0-9_-]{16,}$ ]] || fail "the key must be 16 or more of A-Z, a-z, 0-9, _ and -: openssl rand -hex 16 | ecs/deploy.sh key $1"
	printf %s "$secret" >"$scratch/key" # an argument would be seen in the list of processes
	aws ssm put-parameter --name "/$1-live/stream-key" --type SecureString --overwrite --value "file://$scratch/key" >/dev/null
	echo "the origin asks for this key from its next start on"
}

live() {
	local name=$1 registry=$2 type zones there=
	shift 2
	account
	aws ssm get-parameter --name "/$name-live/stream-key" >/dev/null 2>&1 || fail "publishers have no key yet: openssl rand -hex 16 | ecs/deploy.sh key $name"
	made "$name" || fail "there is no stack $name: ecs/deploy.sh up $name $registry"
	local parameters=("VodStack=$name" "$@")
	given KmsKey "$@" || parameters+=("KmsKey=$(parameter "$name" KmsKey)")
	if made "$name-live"; then
		there=yes
	else
		given Encoders "$@" || fail "say who may stream, as Encoders=203.0.113.0/24"
		parameters+=("Ami=$(aws ssm get-parameter --name /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64 --query Parameter.Value --output text)")
		if ! given Vpc "$@"; then
			type=$(value InstanceType c7i.large "$@")
			zones=$(aws ec2 describe-instance-type-offerings --location-type availability-zone --filters "Name=instance-type,Values=$type" --query 'InstanceTypeOfferings[].Location' --output text)
			[[ -n $zones && $zones != None ]] || fail "there is no $type in $region: say InstanceType=…"
			# shellcheck disable=SC2086 # several
			network $zones
			parameters+=("Vpc=$vpc" "Subnet=${subnets%%,*}")
		fi
	fi
	given Image "$@" || parameters+=("Image=$(image "$registry" origin)")
	if ! given CdnPrefixList "$@"; then
		parameters+=("CdnPrefixList=$(aws ec2 describe-managed-prefix-lists --filters Name=prefix-list-name,Values=com.amazonaws.global.cloudfront.origin-facing --query 'PrefixLists[0].PrefixListId' --output text)")
	fi
	keep='Instance Attached Disk Balancer' stack ecs/origin.yaml "$name-live" "${parameters[@]}"
	[ -z "$there" ] || update "$(resource "$name-live" Instance)" # a new instance does so by itself
	for a in RtmpTargets HlsTargets; do # what the instance does when it starts, nobody else tells
		aws elbv2 wait target-in-service --target-group-arn "$(output "$name-live" $a)" || fail "the origin does not answer; its log: aws ssm start-session --target $(resource "$name-live" Instance), /var/log/cloud-init-output.log"
	done
	parameters=("LiveOrigin=$(output "$name-live" LiveOrigin)" "LiveHeader=$(output "$name-live" LiveHeader)")
	# The origin sends what it records; S3's notification would be a second message for each, and knows less of it.
	[[ -n $(parameter "$name" LiveOrigin) ]] || parameters+=(Trigger=SENDER)
	stack ecs/vod.yaml "$name" "${parameters[@]}"
	echo "stream to $(output "$name-live" Rtmp); watch at https://$(output "$name" Cdn)/hls/NAME/index.m3u8"
}

pages() {
	local name=$1 registry=$2
	shift 2
	account
	made "$name" || fail "there is no stack $name: ecs/deploy.sh up $name $registry"
	local parameters=("VodStack=$name" "$@")
	given KmsKey "$@" || parameters+=("KmsKey=$(parameter "$name" KmsKey)")
	given Media "$@" || parameters+=("Media=https://$(output "$name" Cdn)")
	given Architecture "$@" || parameters+=("Architecture=$(parameter "$name" Architecture)")
	if ! made "$name-pages"; then
		given PagesCertificate "$@" || fail "say which certificate of ACM in $region the pages have, as PagesCertificate=arn:aws:acm:$region:…"
		if ! given Vpc "$@"; then
			network
			parameters+=("Vpc=$vpc" "Subnets=$subnets")
		fi
	fi
	given Image "$@" || parameters+=("Image=$(image "$registry" origin)")
	stack ecs/vod.yaml "$name" # tells the pages where things are, if an older version made it
	stack ecs/pages.yaml "$name-pages" "${parameters[@]}"
	echo "let the name of the certificate point at $(output "$name-pages" Address) (CNAME). The operators' token: aws secretsmanager get-secret-value --secret-id $(output "$name-pages" Token) --query SecretString --output text"
}

update() { # the origin's instance: installs what the stack names now, unless a stream is live
	local command status=
	command=$(aws ssm send-command --instance-ids "$1" --document-name AWS-RunShellScript --parameters commands=/usr/local/bin/afterlive-update --query Command.CommandId --output text)
	echo "the origin fetches its image and services (up to a quarter of an hour)"
	for _ in $(seq 60); do # the CLI's own wait gives up after 100 s
		sleep "${PAUSE:-15}"
		status=$(aws ssm get-command-invocation --command-id "$command" --instance-id "$1" --query Status --output text 2>/dev/null || true)
		case $status in Success | Failed | TimedOut | Cancelled) break ;; esac
	done
	aws ssm get-command-invocation --command-id "$command" --instance-id "$1" --query '[StandardOutputContent, StandardErrorContent]' --output text || true
	[[ $status == Success ]] || fail "the origin was not updated (${status:-no answer}), and runs what it ran"
}

down() {
	local name=$1 instance answer
	account
	if [ -t 0 ]; then
		read -r -p "Removes $name, its CDN, queues and all messages in them. Its name, to confirm: " answer
		[[ $answer == "$name" ]] || fail "nothing was removed"
	fi
	if made "$name-pages"; then # it needs what the other has
		aws cloudformation update-termination-protection --stack-name "$name-pages" --no-enable-termination-protection >/dev/null || true # else what follows fails, and says so
		remove "$name-pages"
	fi
	if made "$name-live"; then
		stack ecs/vod.yaml "$name" LiveOrigin= LiveHeader=
		instance=$(resource "$name-live" Instance) # a disk that is in use cannot be taken away
		aws ec2 stop-instances --instance-ids "$instance" >/dev/null
		aws ec2 wait instance-stopped --instance-ids "$instance"
		aws cloudformation update-termination-protection --stack-name "$name-live" --no-enable-termination-protection >/dev/null || true # else what follows fails, and says so
		remove "$name-live"
	fi
	if resource "$name" Hosts >/dev/null 2>&1; then
		aws ecs update-service --cluster "$(resource "$name" Cluster)" --service "$(resource "$name" Fleet)" --desired-count 0 >/dev/null
	fi
	aws cloudformation update-termination-protection --stack-name "$name" --no-enable-termination-protection >/dev/null || true # else what follows fails, and says so
	remove "$name"
	echo "gone. What remains, and how to remove it: docs/deploy.md, Teardown"
}

command=${1:-}
shift || true
case $command in
push | key | down) [ $# -eq 1 ] || usage ;;
up | live | pages) [ $# -ge 2 ] || usage ;;
*) usage ;;
esac
[ -n "$1" ] || usage
"$command" "$@"
