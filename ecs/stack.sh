# What deploy.sh asks of CloudFormation; it sources this file. $scratch is a folder, $command what deploy.sh is to do.
# shellcheck shell=bash disable=SC2154 # as above

output() { # of a stack
	aws cloudformation describe-stacks --stack-name "$1" --query "Stacks[0].Outputs[?OutputKey=='$2'].OutputValue" --output text
}

parameter() { # of a stack that is there
	aws cloudformation describe-stacks --stack-name "$1" --query "Stacks[0].Parameters[?ParameterKey=='$2'].ParameterValue" --output text
}

resource() { # of a stack: its physical id
	aws cloudformation describe-stack-resource --stack-name "$1" --logical-resource-id "$2" --query StackResourceDetail.PhysicalResourceId --output text
}

# made tells whether a stack is there, and removes one whose creation has failed.
made() {
	local status
	if ! status=$(aws cloudformation describe-stacks --stack-name "$1" --query 'Stacks[0].StackStatus' --output text 2>"$scratch/error"); then
		grep -q "does not exist" "$scratch/error" && return 1
		fail "cannot look at the stack $1: $(cat "$scratch/error")"
	fi
	case $status in
	CREATE_FAILED | ROLLBACK_COMPLETE | ROLLBACK_FAILED | REVIEW_IN_PROGRESS)
		echo "$1 was never whole ($status): removing what is left of it"
		remove "$1"
		return 1
		;;
	DELETE_FAILED) [[ $command == down ]] || fail "$1 could not be removed: aws cloudformation describe-stack-events --stack-name $1 says why; then run deploy.sh down again" ;;
	UPDATE_ROLLBACK_FAILED) fail "$1 is stuck in an update: aws cloudformation describe-stack-events --stack-name $1 says why; then run aws cloudformation continue-update-rollback --stack-name $1" ;;
	*_IN_PROGRESS) fail "$1 is being changed ($status): wait until that has ended" ;;
	esac
}

remove() { # a stack; what protects instances of its group would keep CloudFormation from it for ever
	local hosts
	if hosts=$(resource "$1" Hosts 2>/dev/null) && [[ $hosts != None ]]; then
		aws autoscaling delete-auto-scaling-group --auto-scaling-group-name "$hosts" --force-delete 2>/dev/null || true
	fi
	aws cloudformation delete-stack --stack-name "$1"
	aws cloudformation wait stack-delete-complete --stack-name "$1"
}

# stack makes a stack of a template, or changes it, by a change set. $keep are resources that must not be touched by a change: their
# interruption would be noticed.
stack() { # TEMPLATE STACK NAME=VALUE...
	local template=$1 name=$2 kind=CREATE reason touched p
	shift 2
	local -a parameters=() before=()
	if aws cloudformation describe-stacks --stack-name "$name" >/dev/null 2>&1; then
		kind=UPDATE
		read -r -a before <<<"$(aws cloudformation describe-stacks --stack-name "$name" --query 'Stacks[0].Parameters[].ParameterKey' --output text)"
	fi
	for p in "$@"; do parameters+=("$(printf '{"ParameterKey": "%s", "ParameterValue": "%s"}' "${p%%=*}" "$(sed 's/[\\"]/\\&/g' <<<"${p#*=}")")"); done
	for p in ${before[@]+"${before[@]}"}; do # what the template no longer has is left out
		given "$p" "$@" || ! grep -q "^  $p:" "$template" || parameters+=("$(printf '{"ParameterKey": "%s", "UsePreviousValue": true}' "$p")")
	done
	(IFS=, && echo "[${parameters[*]}]") >"$scratch/parameters.json"
	grep -vE '^ *#( |$)' "$template" >"$scratch/template.yaml" # CloudFormation takes 51,200 bytes
	local set="afterlive-$(date +%s)-$RANDOM"
	if ! aws cloudformation create-change-set --stack-name "$name" --change-set-name "$set" --change-set-type $kind --import-existing-resources \
		--template-body "file://$scratch/template.yaml" --parameters "file://$scratch/parameters.json" --capabilities CAPABILITY_IAM >/dev/null 2>"$scratch/error"; then
		fail "$name cannot be changed: $(cat "$scratch/error")"
	fi
	if ! aws cloudformation wait change-set-create-complete --stack-name "$name" --change-set-name "$set" 2>/dev/null; then
		reason=$(aws cloudformation describe-change-set --stack-name "$name" --change-set-name "$set" --query StatusReason --output text)
		aws cloudformation delete-change-set --stack-name "$name" --change-set-name "$set"
		case $reason in
		*"didn't contain changes"* | *"No updates are to be performed"*) echo "$name: nothing has changed"; return ;;
		esac
		fail "$name cannot be changed: $reason"
	fi
	if [ $kind = UPDATE ] && [ -n "${keep:-}" ]; then
		touched=$(aws cloudformation describe-change-set --stack-name "$name" --change-set-name "$set" \
			--query "Changes[?contains('$keep', ResourceChange.LogicalResourceId)].ResourceChange.[LogicalResourceId, Replacement]" --output text | grep -v "^Disk.False" || true)
		if [[ $touched == *True* ]]; then # CloudFormation would attach the disk to the new one before it leaves the old
			aws cloudformation delete-change-set --stack-name "$name" --change-set-name "$set"
			fail "this would replace ${touched%%[[:space:]]*}, and the disk cannot move: remove the live stack when everything is uploaded, and make it again"
		elif [[ -n $touched && $touched != None && -z ${INTERRUPT:-} ]]; then
			aws cloudformation delete-change-set --stack-name "$name" --change-set-name "$set"
			fail "this would interrupt live streams, by a change of ${touched%%[[:space:]]*}. When none is live: INTERRUPT=yes ecs/deploy.sh …"
		fi
	fi
	aws cloudformation execute-change-set --stack-name "$name" --change-set-name "$set"
	aws cloudformation wait "stack-$(tr '[:upper:]' '[:lower:]' <<<$kind)-complete" --stack-name "$name" ||
		fail "$name: CloudFormation has put back what was there. aws cloudformation describe-stack-events --stack-name $name says why"
	aws cloudformation update-termination-protection --stack-name "$name" --enable-termination-protection >/dev/null ||
		echo "$name is not protected from being deleted by mistake" >&2
}
