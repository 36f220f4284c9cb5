# nginx/nginx.conf, for a container.
/^user www-data;/d
s|^pid .*|pid /var/lib/afterlive/nginx.pid;|
s|^error_log .*|error_log stderr notice;|
s|listen 127\.0\.0\.1:1935;|listen 1935;|
s|listen 127\.0\.0\.1:8081;|listen 8081;|
/allow publish 127\.0\.0\.1;|deny publish all;/d
s| --config=/etc/afterlive/afterlive\.yaml||
s|^rtmp \{|rtmp {\n    access_log off;|
/^env AWS_REGION;/i\
env AFTERLIVE_DATA;\
env AFTERLIVE_QUEUE;\
env AFTERLIVE_FAILED;\
env AFTERLIVE_RECORDINGS;\
env AFTERLIVE_STORE;
